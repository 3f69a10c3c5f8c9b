#define _GNU_SOURCE
#include "clinux_mount.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int clinux_open_beneath(int dirfd, const char *path, int flags, int stay_on_mount) {
  struct open_how how;
  memset(&how, 0, sizeof how);
  how.flags = (unsigned int)flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  if (stay_on_mount) how.resolve |= RESOLVE_NO_XDEV;
  return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
}

int clinux_place_beneath(int dirfd, const char *path) {
  return clinux_open_beneath(dirfd, path, O_PATH, 0);
}

int clinux_walk_beneath(int dirfd, const char *path) {
  int fd = clinux_place_beneath(dirfd, path);
  if (fd < 0) return -1;
  close(fd);
  return 0;
}

int clinux_own_directory(void) { return unshare(CLONE_FS); }
