#ifndef CLINUX_TERMINAL_H
#define CLINUX_TERMINAL_H


// What a terminal's settings were, to be put back later. Opaque: its size is termios's.
struct clinux_terminal_settings {
  unsigned char bytes[128];
};

// Turns the terminal raw (cfmakeraw) and keeps what it was in `before`. 0 or -errno.
int clinux_terminal_make_raw(int descriptor, struct clinux_terminal_settings *before);

// Puts settings back at once. 0 or -errno.
int clinux_terminal_restore(int descriptor, const struct clinux_terminal_settings *before);

// The window's size in characters. 0 or -errno.
int clinux_terminal_size(int descriptor, unsigned short *columns, unsigned short *rows);

// Sets the window's size in characters; the foreground group gets SIGWINCH. 0 or -errno.
int clinux_terminal_set_size(int descriptor, unsigned short columns, unsigned short rows);

// A new pair of pseudo-terminal ends, both close-on-exec and no one's controlling terminal.
// 0 or -errno.
int clinux_terminal_open_pair(int *controller, int *terminal);

// An eventfd (close-on-exec) that counts SIGWINCH from now on; process-wide, and only made once.
// A signal handler feeds it: the signal's default is to be thrown away, so that a signalfd would
// see it only if every thread blocked it. The descriptor, or -errno.
int clinux_window_changes(void);

#endif
