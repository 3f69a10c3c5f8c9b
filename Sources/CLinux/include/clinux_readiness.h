#ifndef CLINUX_READINESS_H
#define CLINUX_READINESS_H

#include <stdint.h>

// Waiting without holding a thread: epoll(7), whose packed event Swift cannot lay out. Results below 0 are -errno.

int clinux_set_nonblocking(int fd);

// An epoll instance, close-on-exec.
int clinux_epoll(void);

// Watches `fd`, until it is writable or has failed: once.
int clinux_epoll_watch_writable(int epoll, int fd, uint64_t token);

int clinux_epoll_forget(int epoll, int fd);

// Waits without an end for some of the watched, and returns how many tokens it wrote.
int clinux_epoll_wait(int epoll, uint64_t *tokens, int limit);

#endif
