#define _GNU_SOURCE
#include "clinux_reap.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int child_ends = -1;

static void note_child_end(int signal) {
  (void)signal;
  int saved = errno;
  clinux_wake_reaper(child_ends);
  errno = saved;
}

int clinux_become_subreaper(void) {
  return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int clinux_child_ends(void) {
  if (child_ends >= 0) return child_ends;
  int made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (made < 0) return -errno;
  child_ends = made;
  struct sigaction action = {.sa_handler = note_child_end,
                             .sa_flags = SA_RESTART | SA_NOCLDSTOP};
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGCHLD, &action, NULL) < 0) {
    int error = errno;
    child_ends = -1;
    close(made);
    return -error;
  }
  return made;
}

void clinux_take_child_ends(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void clinux_await_child_end(int descriptor, int milliseconds) {
  struct pollfd wanted = {.fd = descriptor, .events = POLLIN};
  // A signal ends the wait, too, and then there may be something to collect.
  poll(&wanted, 1, milliseconds);
  uint64_t count;
  (void)!read(descriptor, &count, sizeof count);
}

void clinux_wake_reaper(int descriptor) {
  uint64_t one = 1;
  // Fails only when the counter is full, and then the reaper is awake.
  (void)!write(descriptor, &one, sizeof one);
}

pid_t clinux_peek_ended_child(void) {
  siginfo_t info = {0};
  // Fails when there is no child at all.
  if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0) return 0;
  return info.si_pid;
}

int clinux_collect_child(pid_t pid, int *signalled, int *value) {
  siginfo_t info = {0};
  if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) < 0) return -errno;
  if (info.si_pid == 0) return 0;
  *signalled = info.si_code != CLD_EXITED;
  *value = info.si_status;
  return 1;
}
