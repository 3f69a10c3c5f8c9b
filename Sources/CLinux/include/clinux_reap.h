#ifndef CLINUX_REAP_H
#define CLINUX_REAP_H

#include <sys/types.h>

// Orphans among this process's descendants become its children, from now on. 0 or -errno.
int clinux_become_subreaper(void);

// A descriptor that becomes readable with each SIGCHLD, whose handler this installs. Only ends of
// children count, not stops. The same descriptor each time, which stays open. Or -errno.
int clinux_child_ends(void);

// Lets the calling thread take SIGCHLD, so that there is one that does.
void clinux_take_child_ends(void);

// Waits for the descriptor to be readable, at most `milliseconds` (-1: without limit), and takes
// what it says.
void clinux_await_child_end(int descriptor, int milliseconds);

// Wakes who waits.
void clinux_wake_reaper(int descriptor);

// A child that has ended and has not been collected; it stays so. 0: there is none.
pid_t clinux_peek_ended_child(void);

// Collects that child: 1 (`value` is its exit code, or its signal when `signalled`), 0 when it has
// not ended, -errno.
int clinux_collect_child(pid_t pid, int *signalled, int *value);

#endif
