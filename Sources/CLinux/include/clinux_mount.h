#ifndef CLINUX_MOUNT_H
#define CLINUX_MOUNT_H


// Opens `path` below the directory `dirfd`, with openat2(2), which Swift cannot call: the kernel
// itself refuses to follow any symbolic link and to leave `dirfd` (`..`, an absolute path).
// With `stay_on_mount` it also refuses to enter another mount, a bind mount of the same file system
// included, which a comparison of st_dev would not notice; errno is then EXDEV.
// `flags` are those of open(2) without O_CREAT; O_CLOEXEC is always added.
// Returns the descriptor, or -1 with errno set (ENOSYS before Linux 5.6).
int clinux_open_beneath(int dirfd, const char *path, int flags, int stay_on_mount);

// Walks to `path` below `dirfd` in the same way, whatever kind of file it is, and opens nothing.
// Returns 0, or -1 with errno set: ELOOP if a symbolic link is on the way or at its end.
int clinux_walk_beneath(int dirfd, const char *path);

// A descriptor that stands for `path` below `dirfd`, reached in the same way: a directory or a file
// to mount on, which needs no right to read it. Close-on-exec; or -1 with errno set.
int clinux_place_beneath(int dirfd, const char *path);

// Gives the calling thread a working directory, a root and a umask of its own. 0, or -1 with errno.
int clinux_own_directory(void);

#endif
