#define _GNU_SOURCE
#include "clinux_sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

_Static_assert(
    sizeof(struct clinux_peer_credentials) == sizeof(struct ucred), "layout of SO_PEERCRED");
_Static_assert(
    CLINUX_UNIX_NAME_LIMIT == sizeof(((struct sockaddr_un *)0)->sun_path) - 1, "size of sun_path");

int clinux_unix_socket(void) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

// An abstract name is all bytes up to the given length, so a byte too many is another name; a path
// ends at its NUL.
static int make_address(
    struct sockaddr_un *address, socklen_t *size, const void *name, size_t length, bool abstract) {
  if (length > CLINUX_UNIX_NAME_LIMIT) return -ENAMETOOLONG;
  if (length == 0) return -EINVAL;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path + (abstract ? 1 : 0), name, length);
  *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
  return 0;
}

int clinux_unix_connect(int fd, const void *name, size_t length, bool abstract) {
  struct sockaddr_un address;
  socklen_t size;
  int failure = make_address(&address, &size, name, length, abstract);
  if (failure) return failure;
  int result;
  do result = connect(fd, (struct sockaddr *)&address, size);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : 0;
}

int clinux_unix_bind(int fd, const void *name, size_t length, bool abstract) {
  struct sockaddr_un address;
  socklen_t size;
  int failure = make_address(&address, &size, name, length, abstract);
  if (failure) return failure;
  return bind(fd, (struct sockaddr *)&address, size) < 0 ? -errno : 0;
}

int clinux_listen(int fd, int backlog) { return listen(fd, backlog) < 0 ? -errno : 0; }

int clinux_unix_bound_name(int fd, void *name, bool *abstract) {
  struct sockaddr_un address;
  socklen_t size = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &size) < 0) return -errno;
  if (address.sun_family != AF_UNIX) return -EAFNOSUPPORT;
  size_t header = offsetof(struct sockaddr_un, sun_path);
  if (size <= header) return 0;
  // The kernel may count one byte more than sun_path holds, for a path that fills it.
  size_t length = size - header;
  if (length > sizeof address.sun_path) length = sizeof address.sun_path;
  *abstract = address.sun_path[0] == 0;
  size_t start = *abstract ? 1 : 0;
  length = *abstract ? length - 1 : strnlen(address.sun_path, length);
  if (length > CLINUX_UNIX_NAME_LIMIT) return -ENAMETOOLONG;
  memcpy(name, address.sun_path + start, length);
  return (int)length;
}

int clinux_check_listening(int fd) {
  int type = 0, listening = 0;
  socklen_t size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0) return -errno;
  if (type != SOCK_STREAM) return -EPROTOTYPE;
  size = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0) return -errno;
  return listening ? 0 : -EINVAL;
}

int clinux_peer_credentials(int fd, struct clinux_peer_credentials *credentials) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return -errno;
  credentials->pid = peer.pid;
  credentials->uid = peer.uid;
  credentials->gid = peer.gid;
  return 0;
}

int clinux_open_path(const char *path, bool directory) {
  int fd;
  do fd = open(path, O_PATH | O_CLOEXEC | (directory ? O_DIRECTORY : 0));
  while (fd < 0 && errno == EINTR);
  return fd < 0 ? -errno : fd;
}

int clinux_set_mode(int fd, mode_t mode) { return fchmod(fd, mode) < 0 ? -errno : 0; }
