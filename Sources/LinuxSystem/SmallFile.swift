package import Glibc

/// Files that are read and written whole.
package enum SmallFile {
  /// Writes a file that must not be there yet. One that could not be written whole is left for the
  /// caller to remove.
  ///
  /// Nothing is synced to the medium: a bundle does not outlive the kernel that its task runs on.
  package static func create(
    _ path: String, _ bytes: [UInt8], mode: mode_t
  ) throws(SystemError) {
    let file = try OwnedDescriptor(
      opening: path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: mode)
    do throws(SystemError) {
      try file.write(bytes)
      try file.close()
    } catch {
      throw error.on(path)
    }
  }

  /// Reads a file of at most `limit` bytes; EFBIG if it has more.
  package static func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
    let file = try OwnedDescriptor(opening: path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try file.read(atMost: limit + 1)
    } catch {
      throw error.on(path)
    }
    guard bytes.count <= limit else { throw SystemError("read", path, errno: EFBIG) }
    return bytes
  }
}
