#define _GNU_SOURCE
#include "clinux_signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static volatile int writing_end = -1;

static void pass_on(int signal) {
  int saved = errno;
  unsigned char byte = (unsigned char)signal;
  // A full pipe has this signal in it many times already.
  ssize_t ignored = write(writing_end, &byte, 1);
  (void)ignored;
  errno = saved;
}

static void swallow(int signal) { (void)signal; }

static int handle(int signal, void (*handler)(int)) {
  struct sigaction action = {0};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  return sigaction(signal, &action, NULL) == 0 ? 0 : -errno;
}

int clinux_signals_to_pipe(const int *signals, int count) {
  int ends[2];
  if (writing_end >= 0) return -EBUSY;
  if (pipe2(ends, O_CLOEXEC) != 0) return -errno;
  // The handler must never wait.
  int flags = fcntl(ends[1], F_GETFL);
  if (flags < 0 || fcntl(ends[1], F_SETFL, flags | O_NONBLOCK) < 0) {
    int error = -errno;
    close(ends[0]);
    close(ends[1]);
    return error;
  }
  writing_end = ends[1];
  for (int i = 0; i < count; i++) {
    // The pipe stays: handlers that were set refer to it.
    int error = handle(signals[i], pass_on);
    if (error) return error;
  }
  return ends[0];
}

int clinux_signal_swallow(int signal) { return handle(signal, swallow); }
