// What OpenSSL alone costs for what transport-benchmarks does over TLS: both ends in one thread, their
// bytes handed over in memory, no sockets and nothing of Hawsepipe. Processor time, since that is what
// a busy machine disturbs least, and the least of several rounds. See ../tls-floor.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { ROUNDS = 5, HANDSHAKES = 400, CAPACITY = 1 << 20, MEBIBYTES = 256 };

static void check(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "tls-floor: %s failed\n", what);
  ERR_print_errors_fp(stderr);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

// A direction: what one end has written and the other has not read.
struct pipe {
  unsigned char *bytes;
  size_t start, end;
};

struct wire {
  struct pipe *in, *out;
};

static int wire_create(BIO *bio) {
  BIO_set_init(bio, 1);
  return 1;
}

static int wire_read(BIO *bio, char *bytes, size_t count, size_t *done) {
  struct pipe *in = ((struct wire *)BIO_get_data(bio))->in;
  BIO_clear_retry_flags(bio);
  *done = in->end - in->start < count ? in->end - in->start : count;
  if (*done == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  memcpy(bytes, in->bytes + in->start, *done);
  in->start += *done;
  if (in->start == in->end) in->start = in->end = 0;
  return 1;
}

static int wire_write(BIO *bio, const char *bytes, size_t count, size_t *done) {
  struct pipe *out = ((struct wire *)BIO_get_data(bio))->out;
  BIO_clear_retry_flags(bio);
  check(CAPACITY - out->end >= count, "room in memory");
  memcpy(out->bytes + out->end, bytes, count);
  out->end += count;
  *done = count;
  return 1;
}

static long wire_control(BIO *bio, int command, long number, void *pointer) {
  (void)bio, (void)number, (void)pointer;
  return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;
static struct pipe up, down;
static struct wire client_wire = {&down, &up}, server_wire = {&up, &down};
static SSL_SESSION *session;

static int keep(SSL *ssl, SSL_SESSION *fresh) {
  (void)ssl;
  SSL_SESSION_free(session);
  session = fresh;
  return 1;
}

static SSL_CTX *context(int server, int mutual, int resumes, const char *suite, const char *folder) {
  SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
  char path[4096];
  check(ctx != NULL, "SSL_CTX_new");
  SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
  SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
  check(SSL_CTX_set_ciphersuites(ctx, suite), "the cipher suite");
  if (server || mutual) {
    snprintf(path, sizeof path, "%s/%s.pem", folder, server ? "server" : "client");
    check(SSL_CTX_use_certificate_file(ctx, path, SSL_FILETYPE_PEM), path);
    check(SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM), path);
  }
  if (!server || mutual) {
    snprintf(path, sizeof path, "%s/ca.pem", folder);
    check(SSL_CTX_load_verify_file(ctx, path), path);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (server) SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(path));
  }
  SSL_CTX_set_num_tickets(ctx, resumes ? 1 : 0);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  if (server) {
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"floor", 5);
  } else if (resumes) {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep);
  }
  return ctx;
}

static SSL *end(SSL_CTX *ctx, struct wire *wire) {
  SSL *ssl = SSL_new(ctx);
  BIO *bio = BIO_new(method);
  check(ssl != NULL && bio != NULL, "SSL_new");
  BIO_set_data(bio, wire);
  SSL_set_bio(ssl, bio, bio);
  return ssl;
}

static void connect_both(SSL_CTX *dialling, SSL_CTX *listening, SSL **client, SSL **server) {
  up.start = up.end = down.start = down.end = 0;
  *client = end(dialling, &client_wire);
  *server = end(listening, &server_wire);
  SSL_set_connect_state(*client);
  SSL_set_accept_state(*server);
  SSL_set_tlsext_host_name(*client, "localhost");
  SSL_set1_host(*client, "localhost");
  if (session != NULL) SSL_set_session(*client, session);
  for (int done = 0; !done;) {
    int a = SSL_do_handshake(*client), b = SSL_do_handshake(*server);
    done = a == 1 && b == 1;
    check(a == 1 || SSL_get_error(*client, a) == SSL_ERROR_WANT_READ, "the client's handshake");
    check(b == 1 || SSL_get_error(*server, b) == SSL_ERROR_WANT_READ, "the server's handshake");
  }
}

static void carry(SSL *from, SSL *to) {
  char byte = 'k';
  check(SSL_write(from, &byte, 1) == 1 && SSL_read(to, &byte, 1) == 1, "carrying a byte");
}

// A handshake, a byte there and back, which brings the ticket, and the end on both sides.
static double handshakes(int mutual, int resumes, const char *folder) {
  double least = 1e9;
  SSL_CTX *dialling = context(0, mutual, resumes, "TLS_AES_128_GCM_SHA256", folder);
  SSL_CTX *listening = context(1, mutual, resumes, "TLS_AES_128_GCM_SHA256", folder);
  for (int round = 0; round < ROUNDS; round++) {
    double began = now();
    for (int i = 0; i < HANDSHAKES; i++) {
      SSL *client, *server;
      connect_both(dialling, listening, &client, &server);
      check(SSL_session_reused(client) == (resumes && i + round > 0), "what was to be resumed");
      carry(client, server);
      carry(server, client);
      SSL_shutdown(client);
      SSL_shutdown(server);
      SSL_free(client);
      SSL_free(server);
    }
    double took = (now() - began) / HANDSHAKES;
    if (took < least) least = took;
  }
  SSL_SESSION_free(session);
  session = NULL;
  SSL_CTX_free(dialling);
  SSL_CTX_free(listening);
  return least;
}

// Seconds for a GiB, of sealing and of opening.
static void bulk(size_t size, const char *suite, const char *folder, double least[2]) {
  SSL_CTX *dialling = context(0, 0, 0, suite, folder), *listening = context(1, 0, 0, suite, folder);
  SSL *client, *server;
  static unsigned char piece[CAPACITY], into[CAPACITY];
  // As much as one event of a connection moves, so that caches help no more than they do there.
  size_t batch = 256 << 10;
  connect_both(dialling, listening, &client, &server);
  least[0] = least[1] = 1e9;
  for (int round = 0; round < ROUNDS; round++) {
    double took[2] = {0, 0};
    for (size_t sent = 0; sent < (size_t)MEBIBYTES << 20; sent += batch) {
      double began = now(), middle;
      for (size_t written = 0; written < batch; written += size)
        check(SSL_write(client, piece, (int)size) == (int)size, "writing");
      middle = now();
      for (size_t got = 0; got < batch;) {
        int count = SSL_read(server, into, (int)(batch - got));
        check(count > 0, "reading");
        got += (size_t)count;
      }
      took[0] += middle - began;
      took[1] += now() - middle;
    }
    for (int i = 0; i < 2; i++) {
      took[i] *= 1024.0 / MEBIBYTES;
      if (took[i] < least[i]) least[i] = took[i];
    }
  }
  SSL_free(client);
  SSL_free(server);
  SSL_CTX_free(dialling);
  SSL_CTX_free(listening);
}

int main(int count, char **arguments) {
  static const char *suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"};
  check(count == 2, "usage: tls-floor FOLDER_OF_CERTIFICATES; that");
  printf("%s\n", OpenSSL_version(OPENSSL_VERSION));
  method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "floor");
  BIO_meth_set_create(method, wire_create);
  BIO_meth_set_read_ex(method, wire_read);
  BIO_meth_set_write_ex(method, wire_write);
  BIO_meth_set_ctrl(method, wire_control);
  up.bytes = malloc(CAPACITY);
  down.bytes = malloc(CAPACITY);
  for (int suite = 0; suite < 2; suite++)
    for (size_t size = 16 << 10; size <= 64 << 10; size *= 4) {
      double took[2];
      bulk(size, suites[suite], arguments[1], took);
      printf("writes of %zu KiB, %s: sealing %.3f s a GiB, opening %.3f, both %.3f\n", size >> 10,
             suites[suite], took[0], took[1], took[0] + took[1]);
    }
  for (int mutual = 0; mutual < 2; mutual++)
    for (int resumes = 0; resumes < 2; resumes++)
      printf("%s handshakes%s: %.0f us for both ends\n", resumes ? "resumed" : "full",
             mutual ? " with client certificates" : "",
             1e6 * handshakes(mutual, resumes, arguments[1]));
  return 0;
}
