#define _GNU_SOURCE
#include "clinux_process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

// Older headers lack it; the number is part of the kernel's interface.
#define CLINUX_P_PIDFD 3

int clinux_pipe(int *reading, int *writing) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
  *reading = ends[0];
  *writing = ends[1];
  return 0;
}

int clinux_open_directory(const char *path) {
  int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return directory < 0 ? -errno : directory;
}

int clinux_pidfd_open(pid_t pid) {
  long descriptor = syscall(SYS_pidfd_open, pid, 0);
  return descriptor < 0 ? -errno : (int)descriptor;
}

int clinux_pidfd_signal(int pidfd, int signal) {
  return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int clinux_pidfd_reap(int pidfd, int block, int *signalled, int *value) {
  siginfo_t info = {0};
  int result;
  do {
    result = waitid((idtype_t)CLINUX_P_PIDFD, (id_t)pidfd, &info, WEXITED | (block ? 0 : WNOHANG));
  } while (result < 0 && errno == EINTR);
  if (result < 0) return -errno;
  if (info.si_pid == 0) return 0;
  *signalled = info.si_code != CLD_EXITED;
  *value = info.si_status;
  return 1;
}

int clinux_eventfd(void) {
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

int clinux_readiness_create(void) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  return epoll < 0 ? -errno : epoll;
}

int clinux_readiness_add(int epoll, int descriptor, int writing, uint64_t token) {
  struct epoll_event event = {.events = writing ? EPOLLOUT : EPOLLIN, .data.u64 = token};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) < 0 ? -errno : 0;
}

void clinux_readiness_remove(int epoll, int descriptor) {
  // Fails only for a descriptor that is not watched, and then there is nothing to do.
  epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, NULL);
}

int clinux_readiness_wait(int epoll, uint64_t *tokens, int capacity) {
  struct epoll_event events[64];
  if (capacity > 64) capacity = 64;
  int count = epoll_wait(epoll, events, capacity, -1);
  for (int i = 0; i < count; i++) tokens[i] = events[i].data.u64;
  return count < 0 ? 0 : count;
}

int clinux_timer_create(void) {
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  return timer < 0 ? -errno : timer;
}

void clinux_timer_set(int timer, int64_t seconds, int64_t nanoseconds) {
  struct itimerspec time = {.it_value = {.tv_sec = seconds, .tv_nsec = nanoseconds}};
  timerfd_settime(timer, 0, &time, NULL);
}

int clinux_schedule_cores(void) {
  // From linux/prctl.h of 5.14: PR_SCHED_CORE, PR_SCHED_CORE_CREATE, for a thread group.
  return prctl(62, 1, 0, 1, 0) < 0 ? -errno : 0;
}

char *const *clinux_environment(void) { return environ; }

void clinux_thread_set_up(const char *name) {
  sigset_t every;
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, NULL);
  pthread_setname_np(pthread_self(), name);
}

int clinux_join_network(int descriptor) {
  return setns(descriptor, CLONE_NEWNET) < 0 ? -errno : 0;
}

void clinux_name_thread(const char *name) { prctl(PR_SET_NAME, name); }
