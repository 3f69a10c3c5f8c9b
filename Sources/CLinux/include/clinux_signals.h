#ifndef CLINUX_SIGNALS_H
#define CLINUX_SIGNALS_H

// Signals as bytes of a pipe, each its number, from now on: for a program that has one place to hear
// of them. Process-wide, and only made once. The end to read from (close-on-exec, blocking), or
// -errno. A program that is started later has them at their default, as with any handler.
int clinux_signals_to_pipe(const int *signals, int count);

// Has a signal do nothing. Unlike SIG_IGN, a program that is started does not inherit that.
int clinux_signal_swallow(int signal);

#endif
