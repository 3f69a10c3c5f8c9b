internal import CLinux
internal import Glibc

/// Directories that are reached without following a link.
extension OwnedDescriptor {
  /// Opens a directory by its path. The last component must not be a symbolic link.
  package static func directory(_ path: String) throws(SystemError) -> OwnedDescriptor {
    try OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  }

  /// Opens a directory below this one without following links.
  ///
  /// - Parameters:
  ///   - path: what the error names.
  ///   - stayOnMount: refuse with EXDEV to enter another mount, of the same file system too.
  package borrowing func directory(
    beneath name: String, path: String, stayOnMount: Bool
  ) throws(SystemError) -> OwnedDescriptor {
    let opened = retryingInterrupts {
      clinux_open_beneath(number, name, O_RDONLY | O_DIRECTORY, stayOnMount ? 1 : 0)
    }
    guard opened >= 0 else { throw .last("openat2", path) }
    return OwnedDescriptor(owning: opened)
  }

  /// The names in this directory, which errors call by its path.
  package borrowing func names(of path: String) throws(SystemError) -> [String] {
    do {
      return try names()
    } catch {
      throw error.on(path)
    }
  }
}
