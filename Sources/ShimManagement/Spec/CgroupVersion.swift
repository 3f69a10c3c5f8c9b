internal import Glibc

/// Which generation of control groups an OCI runtime meets at `/sys/fs/cgroup`.
enum CgroupVersion {
  /// One hierarchy a controller, or hybrid.
  case one
  /// The unified hierarchy alone.
  case two

  static var ofHost: CgroupVersion {
    // Only the root of a unified hierarchy has this file; in a hybrid layout it lies further down.
    access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0 ? .two : .one
  }
}
