// Unix sockets by name, with the exact length that the kernel compares abstract names by.
//
// Every function returns 0 (or a descriptor) on success and -errno on failure, and restarts itself
// after a signal. None of them blocks on a peer.
#ifndef CLINUX_SOCKETS_H
#define CLINUX_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>

// What SO_PEERCRED tells; the layout of the kernel's struct ucred.
struct clinux_peer_credentials {
  int pid;
  unsigned uid;
  unsigned gid;
};

// The longest path that connect(2) and bind(2) take as it is, without its final NUL, and the
// longest abstract name, without its leading one.
#define CLINUX_UNIX_NAME_LIMIT 107

// A stream socket: non-blocking, close-on-exec.
int clinux_unix_socket(void);

// -ENAMETOOLONG above CLINUX_UNIX_NAME_LIMIT bytes. -EAGAIN: the listener's backlog is full.
int clinux_unix_connect(int fd, const void *name, size_t length, bool abstract);
int clinux_unix_bind(int fd, const void *name, size_t length, bool abstract);
int clinux_listen(int fd, int backlog);

// The name that a unix socket is bound to, into `name` (at least CLINUX_UNIX_NAME_LIMIT bytes).
// Its length; 0 for a socket without a name. -EAFNOSUPPORT when it is no unix socket.
int clinux_unix_bound_name(int fd, void *name, bool *abstract);

// 0 when fd is a listening stream socket, else -EINVAL, -EPROTOTYPE, -ENOTSOCK or another.
int clinux_check_listening(int fd);

int clinux_peer_credentials(int fd, struct clinux_peer_credentials *credentials);

// An O_PATH handle of a directory or of a socket, for names that are too long for a sockaddr.
int clinux_open_path(const char *path, bool directory);

// The mode that bind(2) will give the socket's file (less the umask), from its first moment on.
int clinux_set_mode(int fd, unsigned mode);

#endif
