#ifndef CLINUX_PROCESS_H
#define CLINUX_PROCESS_H

#include <stddef.h>
#include <stdint.h>

// A pipe whose ends are both close-on-exec. 0 or -errno.
int clinux_pipe(int *reading, int *writing);

// A directory to change into, which needs no right to read it. Close-on-exec. Or -errno.
int clinux_open_directory(const char *path);

// A descriptor (close-on-exec) for the process, or -errno.
int clinux_pidfd_open(int pid);

// Sends a signal to the very process that the descriptor stands for. 0 or -errno.
int clinux_pidfd_signal(int pidfd, int signal);

// Collects a child's end: 1 when it was reaped (`value` is its exit code, or its signal when
// `signalled`), 0 when it runs on, -errno. With `block` it waits for the end.
int clinux_pidfd_reap(int pidfd, int block, int *signalled, int *value);

// An epoll instance (close-on-exec), or -errno. Swift's Glibc module does not have epoll(7).
int clinux_readiness_create(void);

// Reports the token whenever the descriptor can be read (or written, when `writing`), or has
// hung up. 0 or -errno.
int clinux_readiness_add(int epoll, int descriptor, int writing, uint64_t token);
void clinux_readiness_remove(int epoll, int descriptor);

// An eventfd(2) that counts up from 0, close-on-exec and non-blocking; or -errno.
int clinux_eventfd(void);

// Waits without limit for ready descriptors and gives their tokens. Their count; 0 at a signal.
int clinux_readiness_wait(int epoll, uint64_t *tokens, int capacity);

// A timerfd on the monotonic clock (close-on-exec, non-blocking), or -errno.
int clinux_timer_create(void);

// Lets the timer fire once, this long from now. 0 0 stops it.
void clinux_timer_set(int timer, int64_t seconds, int64_t nanoseconds);

// Gives the calling thread's process a scheduling cookie of its own, which its children inherit: it
// shares no core with processes of others (PR_SCHED_CORE). 0 or -errno.
int clinux_schedule_cores(void);

// Puts the calling thread into the network namespace that the descriptor stands for (setns(2)). 0 or
// -errno.
int clinux_join_network(int descriptor);

// What ps and debuggers show of the calling thread, at most 15 bytes; of a process's first thread, of
// the process.
void clinux_name_thread(const char *name);

// This process's environment, as `environ` has it now; ends with NULL.
char *const *clinux_environment(void);

// For a thread of our own: takes no signals (SIGPIPE among them), and has a name of at most 15
// bytes that ps and debuggers show.
void clinux_thread_set_up(const char *name);

#endif
