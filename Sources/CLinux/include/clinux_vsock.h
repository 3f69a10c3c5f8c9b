#ifndef CLINUX_VSOCK_H
#define CLINUX_VSOCK_H

#include <stdbool.h>
#include <stdint.h>

// AF_VSOCK, whose addresses Swift's Glibc module does not know. Results below 0 are -errno.

// As a CID or a port to bind: any.
#define CLINUX_VSOCK_ANY UINT32_MAX

struct clinux_vsock_endpoint {
  uint32_t cid;
  uint32_t port;
};

// A stream socket, non-blocking and close-on-exec.
int clinux_vsock_socket(void);

// How long the kernel itself waits for the peer's answer to a connect(2); 2 s unless told.
int clinux_vsock_set_connect_timeout(int fd, int64_t microseconds);

// Begins to connect; -EINPROGRESS when the answer comes later. `to_host` hands the connection to the
// host whatever the CID is (VMADDR_FLAG_TO_HOST), which passes it on to a sibling VM if it can.
int clinux_vsock_connect(int fd, uint32_t cid, uint32_t port, bool to_host);

int clinux_vsock_bind(int fd, uint32_t cid, uint32_t port);

// The socket's own end and the other one; -EAFNOSUPPORT when it is no vsock socket.
int clinux_vsock_local(int fd, struct clinux_vsock_endpoint *endpoint);
int clinux_vsock_peer(int fd, struct clinux_vsock_endpoint *endpoint);

// This machine's CID: 2 on a host, 1 with loopback alone, CLINUX_VSOCK_ANY without a transport.
// -ENOENT without /dev/vsock, -EACCES where only root may ask.
int clinux_vsock_own_cid(uint32_t *cid);

#endif
