#define _GNU_SOURCE
#include "clinux_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// posix_spawn(3) gives a child's pid only once the child has executed, which is too late for one
// who must tell its end from a stranger's, and it cannot set a parent-death signal. So this does
// what posix_spawn does: a child that shares the parent's memory, on a stack of its own, while the
// parent's thread stands still until the exec.

enum { STACK_SIZE = 64 << 10 };

struct plan {
  const struct clinux_spawn *what;
  const int *raised;
  int highest;
  pid_t parent;
  int error;
};

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

// All in the child between clone and exec: only what is safe in a signal handler.

static void reset_signals(void) {
  // Larger than the kernel's struct on any machine; all zeros are SIG_DFL, no flags, no mask. The
  // C library's own function would leave out the two signals that it keeps for itself.
  static const char plain[64];
  for (int signal = 1; signal < NSIG; signal++)
    syscall(SYS_rt_sigaction, signal, plain, NULL, 8);
}

static int prepare(const struct plan *plan) {
  const struct clinux_spawn *what = plan->what;
  reset_signals();
  if (what->death_signal) {
    if (prctl(PR_SET_PDEATHSIG, what->death_signal) < 0) return errno;
    // The parent may have ended before: then nobody will send it. Out of a pid namespace of its own,
    // the child cannot see that.
    if (!(what->namespaces & CLONE_NEWPID) && getppid() != plan->parent) kill(getpid(), what->death_signal);
  }
  if (what->grouping == CLINUX_GROUPING_NEW_GROUP && setpgid(0, 0) < 0) return errno;
  if (what->grouping == CLINUX_GROUPING_NEW_SESSION && setsid() < 0) return errno;
  // Before the map: one of its targets may carry the directory's number.
  if (what->directory >= 0 && fchdir(what->directory) < 0) return errno;
  for (size_t i = 0; i < what->descriptor_count; i++)
    if (dup2(plan->raised[i], what->descriptors[i].target) < 0) return errno;
  for (int number = 0; number < plan->highest; number++)
    if (!is_target(what, number)) close(number);
  closefrom(plan->highest + 1);
  return 0;
}

static int child(void *argument) {
  struct plan *plan = argument;
  plan->error = prepare(plan);
  if (!plan->error) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(plan->what->executable, plan->what->arguments, plan->what->environment);
    plan->error = errno;
  }
  _exit(127);
}

static int spawn_raised(const struct clinux_spawn *what, const int *raised, int highest,
                        pid_t *pid) {
  char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return errno;
  struct plan plan = {.what = what, .raised = raised, .highest = highest, .parent = getpid()};
  // A handler of this process must not run in the child, where it would share its memory.
  sigset_t every, before;
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &before);
  pid_t made = clone(child, stack + STACK_SIZE,
                     CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | SIGCHLD | what->namespaces,
                     &plan, pid);
  int error = made < 0 ? errno : plan.error;
  // It has ended, or is about to.
  if (made > 0 && error)
    while (waitpid(made, NULL, 0) < 0 && errno == EINTR) {
    }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  munmap(stack, STACK_SIZE);
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

pid_t clinux_spawned_pid(const pid_t *pid) { return __atomic_load_n(pid, __ATOMIC_ACQUIRE); }
