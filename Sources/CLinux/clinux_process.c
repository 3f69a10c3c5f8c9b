#define _GNU_SOURCE
#include "clinux_process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

// Older headers lack it; the number is part of the kernel's interface.
#define CLINUX_P_PIDFD 3

static int highest_target(const struct clinux_spawn *what) {
  int highest = -1;
  for (size_t i = 0; i < what->descriptor_count; i++)
    if (what->descriptors[i].target > highest) highest = what->descriptors[i].target;
  return highest;
}

static int is_target(const struct clinux_spawn *what, int number) {
  for (size_t i = 0; i < what->descriptor_count; i++)
    if (what->descriptors[i].target == number) return 1;
  return 0;
}

static void close_all(const int *descriptors, size_t count) {
  for (size_t i = 0; i < count; i++) close(descriptors[i]);
}

// Copies of all sources, numbered above every target, so that no dup2 in the child can overwrite
// a source that a later one needs. They are close-on-exec and live only until the spawn is over.
static int raise_sources(const struct clinux_spawn *what, int above, int *raised, int *bad) {
  for (size_t i = 0; i < what->descriptor_count; i++) {
    int source = what->descriptors[i].source;
    int copy = fcntl(source, F_DUPFD_CLOEXEC, above + 1);
    if (copy < 0) {
      int error = errno;
      *bad = source;
      close_all(raised, i);
      return error;
    }
    raised[i] = copy;
  }
  return 0;
}

static int fill_actions(posix_spawn_file_actions_t *actions, const struct clinux_spawn *what,
                        const int *raised, int highest) {
  int error = 0;
  // Before the map: one of its targets may carry the directory's number.
  if (what->directory >= 0)
    error = posix_spawn_file_actions_addfchdir_np(actions, what->directory);
  for (size_t i = 0; !error && i < what->descriptor_count; i++)
    error = posix_spawn_file_actions_adddup2(actions, raised[i], what->descriptors[i].target);
  for (int number = 0; !error && number < highest; number++)
    if (!is_target(what, number)) error = posix_spawn_file_actions_addclose(actions, number);
  if (!error) error = posix_spawn_file_actions_addclosefrom_np(actions, highest + 1);
  return error;
}

static int fill_attributes(posix_spawnattr_t *attributes, int grouping) {
  sigset_t every, none;
  sigfillset(&every);
  sigemptyset(&none);
  short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
  if (grouping == CLINUX_GROUPING_NEW_GROUP) flags |= POSIX_SPAWN_SETPGROUP;
  if (grouping == CLINUX_GROUPING_NEW_SESSION) flags |= POSIX_SPAWN_SETSID;

  int error = posix_spawnattr_setsigdefault(attributes, &every);
  if (!error) error = posix_spawnattr_setsigmask(attributes, &none);
  if (!error) error = posix_spawnattr_setpgroup(attributes, 0);
  if (!error) error = posix_spawnattr_setflags(attributes, flags);
  return error;
}

static int spawn_raised(const struct clinux_spawn *what, const int *raised, int highest,
                        pid_t *pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int error = posix_spawn_file_actions_init(&actions);
  if (error) return error;
  error = posix_spawnattr_init(&attributes);
  if (error) {
    posix_spawn_file_actions_destroy(&actions);
    return error;
  }
  error = fill_actions(&actions, what, raised, highest);
  if (!error) error = fill_attributes(&attributes, what->grouping);
  if (!error)
    error = posix_spawn(pid, what->executable, &actions, &attributes, what->arguments,
                        what->environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

int clinux_spawn(const struct clinux_spawn *what, pid_t *pid, int *bad_source) {
  *bad_source = -1;
  size_t count = what->descriptor_count;
  int *raised = calloc(count ? count : 1, sizeof *raised);
  if (!raised) return ENOMEM;

  int highest = highest_target(what);
  int error = raise_sources(what, highest, raised, bad_source);
  if (!error) {
    error = spawn_raised(what, raised, highest, pid);
    close_all(raised, count);
  }
  free(raised);
  return error;
}

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

char *const *clinux_environment(void) { return environ; }

void clinux_thread_set_up(const char *name) {
  sigset_t every;
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, NULL);
  pthread_setname_np(pthread_self(), name);
}
