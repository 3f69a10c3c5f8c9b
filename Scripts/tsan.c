// What ThreadSanitizer cannot see of Swift's runtime on Linux, told to it: Scripts/tsan links this into
// the tests, where it takes the place of the runtime's functions of the same name and calls them.
// Without it every contended lock, and many a continuation, is reported as a race. In swiftlang/swift
// see stdlib/public/Synchronization/Mutex/LinuxImpl.swift and swift_continuation_awaitImpl in
// stdlib/public/Concurrency/Task.cpp; the runtime's own locks tell since pull request 66721.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self
#define ASYNC __attribute__((swiftasynccall))
#define CONTEXT __attribute__((swift_async_context)) struct Continuation *context

// Synchronization's Mutex: what takes a free lock is compiled into its users and seen there; what waits
// for a lock, and wakes who waits, is in the library, which is not instrumented, and in the kernel.
#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK_SLOW "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

static SWIFT void (*theirLockSlow)(uint32_t thread, SELF);
static SWIFT _Bool (*theirTryLockSlow)(SELF);
static SWIFT void (*theirUnlockSlow)(SELF);

SWIFT void lockSlow(uint32_t thread, SELF) __asm__(LOCK_SLOW);
SWIFT void lockSlow(uint32_t thread, SELF) {
  theirLockSlow(thread, self);
  __tsan_acquire(self);
}

SWIFT _Bool tryLockSlow(SELF) __asm__(TRY_LOCK_SLOW);
SWIFT _Bool tryLockSlow(SELF) {
  _Bool locked = theirTryLockSlow(self);
  if (locked) __tsan_acquire(self);
  return locked;
}

SWIFT void unlockSlow(SELF) __asm__(UNLOCK_SLOW);
SWIFT void unlockSlow(SELF) {
  __tsan_release(self);
  theirUnlockSlow(self);
}

// A continuation: who resumes it tells ThreadSanitizer so, on the task. A task that was suspended tells
// that it goes on; one that was resumed before it came to wait goes on at once, and does not.
struct Continuation {
  void *parent;
  ASYNC void (*goOn)(CONTEXT);
  size_t flags;
};
static const size_t switchesExecutor = 1 << 1;

SWIFT void *swift_task_getCurrent(void);
static ASYNC void (*theirAwait)(struct Continuation *context);
// Set and used by one call of swift_continuation_await, which runs nothing else between.
static __thread ASYNC void (*goOnAfterwards)(CONTEXT);

static ASYNC void goOn(CONTEXT) {
  __tsan_acquire(swift_task_getCurrent());
  __attribute__((musttail)) return goOnAfterwards(context);
}

ASYNC void swift_continuation_await(struct Continuation *context) {
  // A task that is suspended goes on with what it had set before this.
  if (!(context->flags & switchesExecutor)) {
    goOnAfterwards = context->goOn;
    context->goOn = goOn;
  }
  __attribute__((musttail)) return theirAwait(context);
}

static void *theirs(const char *name) {
  void *function = dlsym(RTLD_NEXT, name);
  if (!function) {
    fprintf(stderr, "tsan: this Swift has no %s\n", name);
    abort();
  }
  return function;
}

__attribute__((constructor)) static void find(void) {
  theirLockSlow = theirs(LOCK_SLOW);
  theirTryLockSlow = theirs(TRY_LOCK_SLOW);
  theirUnlockSlow = theirs(UNLOCK_SLOW);
  theirAwait = theirs("swift_continuation_await");
}
