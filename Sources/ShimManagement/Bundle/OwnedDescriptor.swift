internal import CLinux
internal import Glibc

/// A descriptor with one owner, closed when the owner goes away.
struct OwnedDescriptor: ~Copyable {
  let raw: Int32

  init(owning raw: Int32) { self.raw = raw }

  deinit { close(raw) }

  /// Opens a directory by its path. The last component must not be a symbolic link.
  static func directory(_ path: String) throws(FileSystemError) -> OwnedDescriptor {
    let raw = retryingInterrupts {
      open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    }
    guard raw >= 0 else { throw FileSystemError("open", path) }
    return OwnedDescriptor(owning: raw)
  }

  /// Opens a directory below this one without following links.
  ///
  /// - Parameters:
  ///   - path: what the error names.
  ///   - stayOnMount: refuse with EXDEV to enter another mount, of the same file system too.
  borrowing func directory(
    beneath name: String, path: String, stayOnMount: Bool
  ) throws(FileSystemError) -> OwnedDescriptor {
    let opened = retryingInterrupts {
      clinux_open_beneath(raw, name, O_RDONLY | O_DIRECTORY, stayOnMount ? 1 : 0)
    }
    guard opened >= 0 else { throw FileSystemError("openat2", path) }
    return OwnedDescriptor(owning: opened)
  }
}
