// Linked into a program by Benchmarks/shim-order: notes which of its functions run.
//
// Every function whose address stands in DIRECTORY/functions begins with a breakpoint. When it is met, the
// byte that belongs there takes its place again, and the function is noted in DIRECTORY/ran, which all
// processes of the program share.

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

static uint64_t *functions;
static long count;
static unsigned char *bytes, *ran;

static void met(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  greg_t *place = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
  uint64_t address = *place - 1;
  long low = 0, high = count - 1;
  while (low < high) {
    long middle = (low + high) / 2;
    if (functions[middle] < address) low = middle + 1;
    else high = middle;
  }
  if (functions[low] != address) _exit(99);
  ran[low] = 1;
  *(volatile unsigned char *)address = bytes[low];
  *place = address;
}

__attribute__((constructor(101))) static void begin(void) {
  int file = open(DIRECTORY "/functions", O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) _exit(98);
  count = status.st_size / sizeof *functions;
  functions = mmap(0, status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  bytes = mmap(0, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  close(file);
  file = open(DIRECTORY "/ran", O_RDWR | O_CREAT, 0600);
  if (file < 0 || ftruncate(file, count) != 0) _exit(98);
  ran = mmap(0, count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  struct sigaction action = {.sa_sigaction = met, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGTRAP, &action, 0);
  uintptr_t first = functions[0] & ~4095ul, last = (functions[count - 1] + 8191) & ~4095ul;
  if (mprotect((void *)first, last - first, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) _exit(97);
  for (long i = 0; i < count; i++) {
    unsigned char *at = (unsigned char *)functions[i];
    bytes[i] = *at;
    *at = 0xcc;
  }
}

// Threads of the program block all signals: this one must come through. See --wrap of the linker.

int __real_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
int __real_sigprocmask(int how, const sigset_t *set, sigset_t *old);

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
  sigset_t without;
  if (set) without = *set, sigdelset(&without, SIGTRAP), set = &without;
  return __real_pthread_sigmask(how, set, old);
}

int __wrap_sigprocmask(int how, const sigset_t *set, sigset_t *old) {
  sigset_t without;
  if (set) without = *set, sigdelset(&without, SIGTRAP), set = &without;
  return __real_sigprocmask(how, set, old);
}
