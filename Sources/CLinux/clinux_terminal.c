#define _GNU_SOURCE
#include "clinux_terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

_Static_assert(sizeof(struct termios) <= sizeof(struct clinux_terminal_settings),
               "termios fits its box");

int clinux_terminal_make_raw(int descriptor, struct clinux_terminal_settings *before) {
  struct termios settings;
  if (tcgetattr(descriptor, &settings) < 0) return -errno;
  memset(before, 0, sizeof *before);
  memcpy(before->bytes, &settings, sizeof settings);
  cfmakeraw(&settings);
  return tcsetattr(descriptor, TCSANOW, &settings) < 0 ? -errno : 0;
}

int clinux_terminal_restore(int descriptor, const struct clinux_terminal_settings *before) {
  struct termios settings;
  memcpy(&settings, before->bytes, sizeof settings);
  // Not TCSADRAIN: a terminal that nobody reads would hold us up for ever.
  return tcsetattr(descriptor, TCSANOW, &settings) < 0 ? -errno : 0;
}

int clinux_terminal_size(int descriptor, unsigned short *columns, unsigned short *rows) {
  struct winsize size;
  if (ioctl(descriptor, TIOCGWINSZ, &size) < 0) return -errno;
  *columns = size.ws_col;
  *rows = size.ws_row;
  return 0;
}

int clinux_terminal_set_size(int descriptor, unsigned short columns, unsigned short rows) {
  struct winsize size = {.ws_col = columns, .ws_row = rows};
  return ioctl(descriptor, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int clinux_terminal_open_pair(int *controller, int *terminal) {
  int primary = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (primary < 0) return -errno;
  // TIOCGPTPEER needs no path, so the pair is right in any mount namespace.
  int unlock = 0, secondary = -1;
  if (ioctl(primary, TIOCSPTLCK, &unlock) == 0)
    secondary = ioctl(primary, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (secondary < 0) {
    int error = errno;
    close(primary);
    return -error;
  }
  *controller = primary;
  *terminal = secondary;
  return 0;
}

static int window_changes = -EINVAL;
static pthread_once_t window_changes_once = PTHREAD_ONCE_INIT;

static void count_window_change(int signal) {
  (void)signal;
  int error = errno;
  uint64_t one = 1;
  ssize_t written = write(window_changes, &one, sizeof one);
  (void)written;  // Full means that many changes wait to be seen already.
  errno = error;
}

static void watch_window_changes(void) {
  window_changes = eventfd(0, EFD_CLOEXEC);
  if (window_changes < 0) {
    window_changes = -errno;
    return;
  }
  struct sigaction action = {.sa_handler = count_window_change, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGWINCH, &action, NULL) < 0) {
    int error = errno;
    close(window_changes);
    window_changes = -error;
  }
}

int clinux_window_changes(void) {
  pthread_once(&window_changes_once, watch_window_changes);
  return window_changes;
}
