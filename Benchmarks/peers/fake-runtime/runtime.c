// An OCI runtime of no containers, for Benchmarks/shim: what a shim runs in runc's place, and that takes
// no time. It knows create, start, kill, delete and state of runc's command line; all else succeeds.
//
// A container is a child that waits for `start`, and then does what the file `mode` of its bundle says, or
// without that file what WITHOUT_MODE says (`exit` if it is not defined):
//
//   exit     ends at once
//   sleep    waits to be killed
//   flood N  writes N bytes to its standard output
//
// Built with -static -nostdlib: its own start is most of what it costs.

#ifndef WITHOUT_MODE
#define WITHOUT_MODE "exit"
#endif

typedef unsigned long word;

enum { NR_read, NR_write, NR_open, NR_close, NR_rt_sigaction = 13, NR_rt_sigprocmask = 14 };
enum {
  NR_pipe = 22, NR_dup2 = 33, NR_pause = 34, NR_getpid = 39, NR_socket = 41, NR_connect = 42,
  NR_sendmsg = 46, NR_fork = 57, NR_exit = 60, NR_kill = 62, NR_unlink = 87, NR_ioctl = 16,
  NR_setsid = 112, NR_rt_sigtimedwait = 128,
};
enum { SIGUSR1 = 10, SIG_BLOCK = 0, O_WRONLY_CREAT_TRUNC = 01 | 0100 | 01000, O_RDWR = 2 };
enum { AF_UNIX = 1, SOCK_STREAM = 1, SOL_SOCKET = 1, SCM_RIGHTS = 1 };

static long call(long number, long a, long b, long c, long d) {
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
}
#define CALL(number, a, b, c, d) call(number, (long)(a), (long)(b), (long)(c), (long)(d))

static int equal(const char *one, const char *other) {
  while (*one && *one == *other) one++, other++;
  return *one == *other;
}

static char *append(char *end, const char *text) {
  while (*text) *end++ = *text++;
  *end = 0;
  return end;
}

static char *append_number(char *end, word number) {
  char digits[24];
  int count = 0;
  do digits[count++] = '0' + number % 10;
  while (number /= 10);
  while (count) *end++ = digits[--count];
  *end = 0;
  return end;
}

static word number(const char *text) {
  word result = 0;
  for (; *text >= '0' && *text <= '9'; text++) result = result * 10 + (*text - '0');
  return result;
}

static void stop(int status) {
  for (;;) CALL(NR_exit, status, 0, 0, 0);
}

static void fail(const char *what) {
  char text[256];
  char *end = append(append(text, what), "\n");
  CALL(NR_write, 2, text, end - text, 0);
  stop(1);
}

static void write_file(const char *path, word value) {
  char text[24];
  char *end = append_number(text, value);
  long file = CALL(NR_open, path, O_WRONLY_CREAT_TRUNC, 0644, 0);
  if (file < 0 || CALL(NR_write, file, text, end - text, 0) < 0) fail(path);
  CALL(NR_close, file, 0, 0, 0);
}

// What a file begins with; empty when there is none.
static void read_file(const char *path, char *text, word size) {
  long file = CALL(NR_open, path, 0, 0, 0);
  long count = file < 0 ? 0 : CALL(NR_read, file, text, size - 1, 0);
  text[count < 0 ? 0 : count] = 0;
  if (file >= 0) CALL(NR_close, file, 0, 0, 0);
}

// Takes a new terminal, whose master goes to the socket, as runc does it.
static void take_terminal(const char *socket_path) {
  long master = CALL(NR_open, "/dev/ptmx", O_RDWR | 0400, 0, 0);
  int unlocked = 0, index = 0;
  if (master < 0 || CALL(NR_ioctl, master, 0x40045431 /* TIOCSPTLCK */, &unlocked, 0) < 0 ||
      CALL(NR_ioctl, master, 0x80045430 /* TIOCGPTN */, &index, 0) < 0)
    fail("ptmx");
  char name[32];
  append_number(append(name, "/dev/pts/"), index);
  long slave = CALL(NR_open, name, O_RDWR | 0400, 0, 0);
  if (slave < 0) fail(name);

  struct { unsigned short family; char path[108]; } address = {AF_UNIX, {0}};
  append(address.path, socket_path);
  long connection = CALL(NR_socket, AF_UNIX, SOCK_STREAM, 0, 0);
  if (CALL(NR_connect, connection, &address, sizeof address, 0) < 0) fail(socket_path);
  struct { word length; int level, type; int descriptor; int padding; } rights = {
      20, SOL_SOCKET, SCM_RIGHTS, (int)master, 0};
  struct { void *base; word length; } part = {"/dev/ptmx", 9};
  struct {
    void *name; unsigned name_length; void *parts; word part_count; void *control;
    word control_length; int flags;
  } message = {0, 0, &part, 1, &rights, sizeof rights, 0};
  if (CALL(NR_sendmsg, connection, &message, 0, 0) < 0) fail("sendmsg");
  CALL(NR_close, connection, 0, 0, 0);
  CALL(NR_close, master, 0, 0, 0);
  for (int i = 0; i < 3; i++) CALL(NR_dup2, slave, i, 0, 0);
  if (slave > 2) CALL(NR_close, slave, 0, 0, 0);
}

static char block[1 << 16];

static void run_container(const char *mode) {
  word started = 1ul << (SIGUSR1 - 1);
  CALL(NR_rt_sigtimedwait, &started, 0, 0, 8);
  if (mode[0] == 's')
    for (;;) CALL(NR_pause, 0, 0, 0, 0);
  if (mode[0] == 'f') {
    word left = number(mode + 6);
    while (left) {
      long count = CALL(NR_write, 1, block, left < sizeof block ? left : sizeof block, 0);
      if (count <= 0) stop(1);
      left -= count;
    }
  }
  stop(0);
}

static void create(const char *bundle, const char *pid_file, const char *console, const char *state) {
  char path[4096], mode[64];
  append(append(path, bundle), "/mode");
  read_file(path, mode, sizeof mode);
  if (!mode[0]) append(mode, WITHOUT_MODE);
  word started = 1ul << (SIGUSR1 - 1);
  CALL(NR_rt_sigprocmask, SIG_BLOCK, &started, 0, 8);
  long pid = CALL(NR_fork, 0, 0, 0, 0);
  if (pid < 0) fail("fork");
  if (pid == 0) {
    CALL(NR_setsid, 0, 0, 0, 0);
    if (console) take_terminal(console);
    run_container(mode);
  }
  write_file(state, pid);
  write_file(pid_file, pid);
}

static void main_with(int count, char **arguments) {
  const char *root = "/tmp", *bundle = ".", *pid_file = 0, *console = 0, *signal = 0, *id = "";
  const char *action = 0;
  for (int i = 1; i < count; i++) {
    const char *word = arguments[i];
    const char *next = i + 1 < count ? arguments[i + 1] : "";
    if (equal(word, "--root")) root = next, i++;
    else if (equal(word, "--bundle")) bundle = next, i++;
    else if (equal(word, "--pid-file")) pid_file = next, i++;
    else if (equal(word, "--console-socket")) console = next, i++;
    else if (equal(word, "--log") || equal(word, "--log-format")) i++;
    else if (word[0] == '-') continue;
    else if (!action) action = word;
    else if (!id[0]) id = word;
    else signal = word;
  }
  if (!action) stop(0);

  char state[4096], text[64];
  char *end = append(append(state, root), "/");
  // The shim's own folder of the namespace need not be there.
  for (const char *c = id; *c; c++) *end++ = *c;
  *end = 0;
  for (char *c = state + 1; c < end; c++) {
    if (*c != '/') continue;
    *c = 0;
    CALL(83 /* mkdir */, state, 0755, 0, 0);
    *c = '/';
  }
  if (equal(action, "create")) {
    if (!pid_file) fail("create without --pid-file");
    create(bundle, pid_file, console, state);
    stop(0);
  }
  read_file(state, text, sizeof text);
  long pid = number(text);
  if (equal(action, "start")) {
    if (!pid || CALL(NR_kill, pid, SIGUSR1, 0, 0) < 0) fail("container does not exist");
  } else if (equal(action, "kill")) {
    if (!pid || CALL(NR_kill, pid, signal ? number(signal) : 9, 0, 0) < 0)
      fail("process already finished");
  } else if (equal(action, "delete")) {
    CALL(NR_unlink, state, 0, 0, 0);
  }
  stop(0);
}

void begin(long *stack) { main_with((int)stack[0], (char **)(stack + 1)); }
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
