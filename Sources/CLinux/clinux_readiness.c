#define _GNU_SOURCE
#include "clinux_readiness.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

enum { BATCH = 64 };

int clinux_set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -errno;
  return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int clinux_epoll(void) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  return epoll < 0 ? -errno : epoll;
}

int clinux_epoll_watch_writable(int epoll, int fd, uint64_t token) {
  struct epoll_event event = {.events = EPOLLOUT | EPOLLONESHOT, .data.u64 = token};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int clinux_epoll_forget(int epoll, int fd) {
  struct epoll_event unused = {0};
  return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &unused) < 0 ? -errno : 0;
}

int clinux_epoll_wait(int epoll, uint64_t *tokens, int limit) {
  struct epoll_event events[BATCH];
  int count;
  do count = epoll_wait(epoll, events, limit < BATCH ? limit : BATCH, -1);
  while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  for (int index = 0; index < count; index++) tokens[index] = events[index].data.u64;
  return count;
}
