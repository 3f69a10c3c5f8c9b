internal import Glibc
internal import LinuxSystem

/// Whether a directory, there or yet to be made, may hold state that is acted upon as root.
enum DirectoryTrust {
  enum Fault: Hashable {
    case link
    case notDirectory
    /// It belongs to this user, who is not the one of the process.
    case owner(uid_t)
    /// Everyone may replace files in this directory: the one asked about, or one above it.
    case worldWritable(String)
  }

  /// What is wrong with a directory, or with the nearest one above it that is there.
  ///
  /// - Throws: ``SystemError`` also where the directory cannot be written to.
  static func fault(of path: String) throws(SystemError) -> Fault? {
    if let status = try FileStatus.ofItself(path) {
      if status.isLink { return .link }
      if !status.isDirectory { return .notDirectory }
      if status.owner != geteuid() { return .owner(status.owner) }
    }
    let there = try nearestExisting(path)
    for directory in upwards(from: try PathText.resolved(there)) {
      let status = try FileStatus.ofItself(directory)
      if let status, status.isWorldWritableWithoutSticky { return .worldWritable(directory) }
    }
    // With the effective ids; a read-only file system fails this also for root.
    guard faccessat(AT_FDCWD, there, W_OK | X_OK, AT_EACCESS) == 0 else {
      throw SystemError.last("write to", there)
    }
    return nil
  }

  private static func nearestExisting(_ path: String) throws(SystemError) -> String {
    var candidate = path
    while try FileStatus.ofItself(candidate) == nil, let parts = PathText.split(candidate) {
      candidate = parts.directory
    }
    return candidate
  }

  private static func upwards(from path: String) -> [String] {
    var all = [path]
    while let parts = PathText.split(all[all.count - 1]) { all.append(parts.directory) }
    return all
  }
}
