internal import Glibc
internal import LinuxSystem

/// The directories that one operation made, so that its failure can take back those and no others.
struct MadeDirectories {
  private(set) var paths: [String] = []

  /// Makes a directory with exactly this mode, and with it every parent that is missing. One that is
  /// there already keeps its mode, but must be a directory, not a link, and of this user.
  mutating func make(_ path: String, mode: mode_t) throws(SystemError) {
    if let status = try FileStatus.ofItself(path) {
      guard !status.isLink else { throw SystemError("mkdir", path, errno: ELOOP) }
      guard status.isDirectory else { throw SystemError("mkdir", path, errno: ENOTDIR) }
      guard status.owner == geteuid() else { throw SystemError("mkdir", path, errno: EPERM) }
      return
    }
    if let parent = PathText.split(path)?.directory { try makeParents(parent) }
    do throws(SystemError) {
      try makeNew(path, mode: mode)
    } catch  where error.errno == EEXIST {
      // Another process was faster: then its directory must pass the same test.
      try make(path, mode: mode)
    }
  }

  /// Makes a directory that must not be there yet.
  mutating func makeNew(_ path: String, mode: mode_t) throws(SystemError) {
    guard mkdir(path, mode) == 0 else { throw SystemError.last("mkdir", path) }
    paths.append(path)
    // The umask may have taken bits away.
    guard chmod(path, mode) == 0 else { throw SystemError.last("chmod", path) }
  }

  /// Parents further up belong to the system: they may be of another user, or reached by a link.
  private mutating func makeParents(_ path: String) throws(SystemError) {
    var status = stat()
    if stat(path, &status) == 0 { return }
    guard errno == ENOENT else { throw SystemError.last("stat", path) }
    if let parent = PathText.split(path)?.directory { try makeParents(parent) }
    do throws(SystemError) {
      try makeNew(path, mode: 0o711)
    } catch  where error.errno == EEXIST {
      return
    }
  }

  /// Removes what was made, newest first. What others have put something into since stays.
  func remove() {
    for path in paths.reversed() { rmdir(path) }
  }
}
