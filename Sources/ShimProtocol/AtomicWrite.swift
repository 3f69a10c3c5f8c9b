internal import Glibc
internal import LinuxSystem

/// Replacing a file so that everyone sees the old contents or the new ones, also after a crash.
///
/// The new contents go into a temporary file of the same directory, whose name tells what it is, and
/// which its writer keeps locked. A crash leaves it behind unlocked, and ``TemporaryFiles`` removes
/// it. (containerd leaves one with a random name, which then keeps the bundle from being removed.)
enum AtomicWrite {
  static func replace(
    _ name: String, in directory: borrowing OwnedDescriptor, with bytes: [UInt8], mode: mode_t
  ) throws(SystemError) {
    // A sweep can catch the file between its creation and its lock: then once more, with a new one.
    for _ in 0..<4 {
      if try attempt(name, in: directory, with: bytes, mode: mode) {
        try synchronizeDirectory(directory)
        return
      }
    }
    throw SystemError("flock", errno: EWOULDBLOCK)
  }

  /// False when a sweep took the temporary file away.
  private static func attempt(
    _ name: String, in directory: borrowing OwnedDescriptor, with bytes: [UInt8], mode: mode_t
  ) throws(SystemError) -> Bool {
    let temporary = TemporaryFiles.name(for: name)
    let file = try OwnedDescriptor(creating: temporary, in: directory)
    do throws(SystemError) {
      guard try file.tryLock(), try file.status().st_nlink > 0 else {
        unlinkat(directory.number, temporary, 0)
        return false
      }
      try file.write(bytes)
      try file.setMode(mode)
      try file.synchronize()
      guard renameat(directory.number, temporary, directory.number, name) == 0 else {
        throw .last("rename")
      }
    } catch {
      // The old file is as it was. What made this fail is the error to report, not this.
      unlinkat(directory.number, temporary, 0)
      throw error
    }
    return true
  }

  private static func synchronizeDirectory(
    _ directory: borrowing OwnedDescriptor
  ) throws(SystemError) {
    do throws(SystemError) {
      try directory.synchronize()
    } catch {
      // The answer of file systems whose directories need no fsync, or have none.
      guard error.errno == EINVAL || error.errno == ENOTSUP else { throw error }
    }
  }
}
