#include "tls_floor.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// As much as one event of a connection moves, so that caches help no more than they do there.
enum { BATCH = 256 << 10, CAPACITY = 1 << 20 };

static void check(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "TLS floor: %s failed\n", what);
  ERR_print_errors_fp(stderr);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
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

static BIO *text(const char *pem) {
  BIO *bio = BIO_new_mem_buf(pem, -1);
  check(bio != NULL, "BIO_new_mem_buf");
  return bio;
}

static X509 *certificate(const char *pem) {
  BIO *bio = text(pem);
  X509 *made = PEM_read_bio_X509(bio, NULL, NULL, NULL);
  check(made != NULL, "reading a certificate");
  BIO_free(bio);
  return made;
}

static void identify(SSL_CTX *ctx, const char *pem, const char *key_pem) {
  BIO *bio = text(key_pem);
  EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
  X509 *leaf = certificate(pem);
  check(SSL_CTX_use_certificate(ctx, leaf) && SSL_CTX_use_PrivateKey(ctx, key), "using a pair");
  X509_free(leaf);
  EVP_PKEY_free(key);
  BIO_free(bio);
}

static SSL_CTX *context(const struct tls_floor_material *material, int server, int mutual,
                        int resumes, const char *suite) {
  SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
  check(ctx != NULL, "SSL_CTX_new");
  SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
  SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
  check(SSL_CTX_set_ciphersuites(ctx, suite), "the cipher suite");
  if (server) identify(ctx, material->server, material->server_key);
  if (!server && mutual) identify(ctx, material->client, material->client_key);
  if (!server || mutual) {
    X509 *authority = certificate(material->authority);
    check(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), authority), "using the CA");
    if (server) SSL_CTX_add_client_CA(ctx, authority);
    X509_free(authority);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  }
  SSL_CTX_set_num_tickets(ctx, resumes ? 1 : 0);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  if (server) {
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"floor", 5);
    if (resumes && mutual) {
      SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
      SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
      SSL_CTX_sess_set_cache_size(ctx, 64);
    }
  } else if (resumes) {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep);
  }
  return ctx;
}

static SSL *new_end(SSL_CTX *ctx, struct wire *wire) {
  SSL *ssl = SSL_new(ctx);
  BIO *bio = BIO_new(method);
  check(ssl != NULL && bio != NULL, "SSL_new");
  BIO_set_data(bio, wire);
  SSL_set_bio(ssl, bio, bio);
  return ssl;
}

static void connect_both(SSL_CTX *dialling, SSL_CTX *listening, SSL **client, SSL **server) {
  up.start = up.end = down.start = down.end = 0;
  *client = new_end(dialling, &client_wire);
  *server = new_end(listening, &server_wire);
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

// The method and the memory in between, made once.
static void prepare(void) {
  if (method != NULL) return;
  method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "floor");
  BIO_meth_set_create(method, wire_create);
  BIO_meth_set_read_ex(method, wire_read);
  BIO_meth_set_write_ex(method, wire_write);
  BIO_meth_set_ctrl(method, wire_control);
  up.bytes = malloc(CAPACITY);
  down.bytes = malloc(CAPACITY);
  check(up.bytes != NULL && down.bytes != NULL, "malloc");
}

double tls_floor_handshake(const struct tls_floor_material *material, int mutual, int resumes,
                           int count) {
  static const char suite[] = "TLS_AES_128_GCM_SHA256";
  double began = 0, took;
  SSL_CTX *dialling, *listening;
  prepare();
  dialling = context(material, 0, mutual, resumes, suite);
  listening = context(material, 1, mutual, resumes, suite);
  // The first one warms up, and is what the others resume.
  for (int i = 0; i <= count; i++) {
    SSL *client, *server;
    if (i == 1) began = now();
    connect_both(dialling, listening, &client, &server);
    check(SSL_session_reused(client) == (resumes && i > 0), "what was to be resumed");
    carry(client, server);
    carry(server, client);
    SSL_shutdown(client);
    SSL_shutdown(server);
    SSL_free(client);
    SSL_free(server);
  }
  took = (now() - began) / count;
  SSL_SESSION_free(session);
  session = NULL;
  SSL_CTX_free(dialling);
  SSL_CTX_free(listening);
  return took;
}

void tls_floor_bulk(const struct tls_floor_material *material, const char *suite, size_t size,
                    size_t mebibytes, double took[2]) {
  static unsigned char from[CAPACITY], into[CAPACITY];
  SSL_CTX *dialling, *listening;
  SSL *client, *server;
  prepare();
  dialling = context(material, 0, 0, 0, suite);
  listening = context(material, 1, 0, 0, suite);
  connect_both(dialling, listening, &client, &server);
  took[0] = took[1] = 0;
  for (size_t sent = 0; sent < mebibytes << 20; sent += BATCH) {
    double began = now(), middle;
    for (size_t written = 0; written < BATCH; written += size)
      check(SSL_write(client, from, (int)size) == (int)size, "writing");
    middle = now();
    for (size_t got = 0; got < BATCH;) {
      int count = SSL_read(server, into, (int)(BATCH - got));
      check(count > 0, "reading");
      got += (size_t)count;
    }
    took[0] += (middle - began) * 1024 / (double)mebibytes;
    took[1] += (now() - middle) * 1024 / (double)mebibytes;
  }
  SSL_free(client);
  SSL_free(server);
  SSL_CTX_free(dialling);
  SSL_CTX_free(listening);
}

const char *tls_floor_version(void) { return OpenSSL_version(OPENSSL_VERSION); }
