internal import Glibc

/// Files that are read and written whole.
enum SmallFile {
  /// Writes a file that must not be there yet. One that could not be written whole is left for the
  /// caller to remove.
  ///
  /// Nothing is synced to the medium: a bundle does not outlive the kernel that its task runs on.
  static func create(
    _ path: String, _ bytes: [UInt8], mode: mode_t
  ) throws(FileSystemError) {
    let descriptor = retryingInterrupts {
      open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
    }
    guard descriptor >= 0 else { throw FileSystemError("open", path) }
    var written = 0
    while written < bytes.count {
      let count = bytes[written...].withUnsafeBytes { rest in
        retryingInterrupts { write(descriptor, rest.baseAddress, rest.count) }
      }
      guard count > 0 else {
        let error = FileSystemError("write", path)
        close(descriptor)
        throw error
      }
      written += count
    }
    // Some file systems report a full disk only here.
    guard close(descriptor) == 0 else { throw FileSystemError("close", path) }
  }

  /// Reads a file of at most `limit` bytes; EFBIG if it has more.
  static func read(_ path: String, limit: Int) throws(FileSystemError) -> [UInt8] {
    let descriptor = retryingInterrupts {
      open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    }
    guard descriptor >= 0 else { throw FileSystemError("open", path) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = retryingInterrupts { Glibc.read(descriptor, &chunk, chunk.count) }
      guard count >= 0 else { throw FileSystemError("read", path) }
      if count == 0 { return bytes }
      guard bytes.count + count <= limit else { throw FileSystemError("read", path, errno: EFBIG) }
      bytes += chunk[..<count]
    }
  }

  /// Where a symbolic link leads, as it is written.
  static func readLink(_ path: String) throws(FileSystemError) -> String {
    var text = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink(path, &text, text.count)
    guard count >= 0 else { throw FileSystemError("readlink", path) }
    guard count < text.count else { throw FileSystemError("readlink", path, errno: ENAMETOOLONG) }
    return String(decoding: text[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
