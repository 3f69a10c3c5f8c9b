// What OpenSSL alone costs for what the benchmarks do over TLS: both ends in one thread, their bytes
// handed over in memory, no sockets and nothing of Hawsepipe. All times are the thread's processor
// time, in seconds. What should not fail ends the program.
#ifndef TLS_FLOOR_H
#define TLS_FLOOR_H

#include <stddef.h>

// PEM.
struct tls_floor_material {
  const char *authority, *server, *server_key, *client, *client_key;
};

// A handshake, a byte there and back, and the end on both sides: the mean of `count`. `mutual`: with a
// client certificate; `resumes`: all of them resume, and clients' certificates are kept by the server.
double tls_floor_handshake(const struct tls_floor_material *material, int mutual, int resumes,
                           int count);

// A GiB in writes of `size` bytes, measured with `mebibytes`: `took[0]` sealing, `took[1]` opening.
void tls_floor_bulk(const struct tls_floor_material *material, const char *suite, size_t size,
                    size_t mebibytes, double took[2]);

const char *tls_floor_version(void);

#endif
