internal import Glibc
internal import LinuxSystem

/// What lstat(2) says of a path, in the words that the checks here use.
struct FileStatus {
  private let raw: stat

  /// The status of the path itself, not of what a link leads to; nil if there is nothing.
  static func ofItself(_ path: String) throws(SystemError) -> FileStatus? {
    var raw = stat()
    if retryingInterrupts({ lstat(path, &raw) }) == 0 { return FileStatus(raw: raw) }
    if errno == ENOENT || errno == ENOTDIR { return nil }
    throw SystemError.last("lstat", path)
  }

  /// The status of an open file.
  static func of(descriptor: Int32, path: String) throws(SystemError) -> FileStatus {
    var raw = stat()
    guard retryingInterrupts({ fstat(descriptor, &raw) }) == 0 else {
      throw SystemError.last("fstat", path)
    }
    return FileStatus(raw: raw)
  }

  var isDirectory: Bool { raw.st_mode & S_IFMT == S_IFDIR }
  var isLink: Bool { raw.st_mode & S_IFMT == S_IFLNK }
  var owner: uid_t { raw.st_uid }

  /// Anyone may put files there, and replace those of others.
  var isWorldWritableWithoutSticky: Bool {
    raw.st_mode & S_IWOTH != 0 && raw.st_mode & S_ISVTX == 0
  }

  func isSameFile(as other: FileStatus) -> Bool {
    raw.st_dev == other.raw.st_dev && raw.st_ino == other.raw.st_ino
  }
}
