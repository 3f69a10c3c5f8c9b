#ifndef CLINUX_SPAWN_H
#define CLINUX_SPAWN_H

#include <stddef.h>

// The descriptor `source` of this process becomes `target` in the child.
struct clinux_descriptor {
  int source;
  int target;
};

enum clinux_grouping {
  CLINUX_GROUPING_INHERIT = 0,
  CLINUX_GROUPING_NEW_GROUP = 1,
  CLINUX_GROUPING_NEW_SESSION = 2,
};

struct clinux_spawn {
  const char *executable;
  char *const *arguments;    // argv, argv[0] included, ends with NULL
  char *const *environment;  // ends with NULL
  int directory;             // a descriptor to change into first, or -1
  int grouping;              // enum clinux_grouping
  int death_signal;          // what the child gets when the calling thread ends; 0: nothing
  int namespaces;            // CLONE_NEW… of what the child has of its own; 0: nothing
  const struct clinux_descriptor *descriptors;
  size_t descriptor_count;
};

// Starts a child that has exactly the descriptors of the map, every signal at its default and none
// blocked. Returns 0 and the child's pid, or the errno of what failed, the child's exec included;
// no zombie is left then.
// `*pid` is written before the child can run, so that one who sees its end can tell whose it is.
// When a source cannot be duplicated, `bad_source` is its number (else it is -1).
int clinux_spawn(const struct clinux_spawn *what, int *pid, int *bad_source);

// The pid that a spawn under way on another thread has written; 0 before that.
int clinux_spawned_pid(const int *pid);

#endif
