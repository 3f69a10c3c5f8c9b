#define _GNU_SOURCE
#include "clinux_vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

_Static_assert(CLINUX_VSOCK_ANY == VMADDR_CID_ANY, "any CID");
_Static_assert(CLINUX_VSOCK_ANY == VMADDR_PORT_ANY, "any port");

int clinux_vsock_socket(void) {
  int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

int clinux_vsock_set_connect_timeout(int fd, int64_t microseconds) {
  struct timeval limit = {
      .tv_sec = (time_t)(microseconds / 1000000),
      .tv_usec = (suseconds_t)(microseconds % 1000000),
  };
  int result = setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof limit);
  return result < 0 ? -errno : 0;
}

static struct sockaddr_vm make_address(uint32_t cid, uint32_t port, bool to_host) {
  struct sockaddr_vm address;
  memset(&address, 0, sizeof address);
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  if (to_host) address.svm_flags = VMADDR_FLAG_TO_HOST;
  return address;
}

int clinux_vsock_connect(int fd, uint32_t cid, uint32_t port, bool to_host) {
  struct sockaddr_vm address = make_address(cid, port, to_host);
  return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
}

int clinux_vsock_bind(int fd, uint32_t cid, uint32_t port) {
  struct sockaddr_vm address = make_address(cid, port, false);
  return bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
}

static int read_endpoint(
    int result, const struct sockaddr_storage *address, struct clinux_vsock_endpoint *endpoint) {
  if (result < 0) return -errno;
  if (address->ss_family != AF_VSOCK) return -EAFNOSUPPORT;
  struct sockaddr_vm vsock;
  memcpy(&vsock, address, sizeof vsock);
  endpoint->cid = vsock.svm_cid;
  endpoint->port = vsock.svm_port;
  return 0;
}

int clinux_vsock_local(int fd, struct clinux_vsock_endpoint *endpoint) {
  struct sockaddr_storage address = {0};
  socklen_t size = sizeof address;
  return read_endpoint(getsockname(fd, (struct sockaddr *)&address, &size), &address, endpoint);
}

int clinux_vsock_peer(int fd, struct clinux_vsock_endpoint *endpoint) {
  struct sockaddr_storage address = {0};
  socklen_t size = sizeof address;
  return read_endpoint(getpeername(fd, (struct sockaddr *)&address, &size), &address, endpoint);
}

int clinux_vsock_own_cid(uint32_t *cid) {
  int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  unsigned int own = VMADDR_CID_ANY;
  int result = ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &own) < 0 ? -errno : 0;
  close(fd);
  *cid = own;
  return result;
}
