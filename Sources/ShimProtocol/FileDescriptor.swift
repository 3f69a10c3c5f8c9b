internal import Glibc

/// An open descriptor with one owner: closed when its scope ends.
struct FileDescriptor: ~Copyable {
  let number: Int32

  deinit {
    // Nothing was written through it that `close()` was not asked about.
    _ = Glibc.close(number)
  }

  /// The path's own last link is followed: a state directory may well be one.
  init(directory path: String) throws(SystemCallError) {
    number = try Self.retried("open") {
      Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    }
  }

  /// For reading: never follows a link, never waits for the other end of a fifo.
  init(reading name: String, in directory: borrowing FileDescriptor) throws(SystemCallError) {
    let parent = directory.number
    number = try Self.retried("open") {
      openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
    }
  }

  /// A file that was not there before, which only its owner can open yet.
  init(creating name: String, in directory: borrowing FileDescriptor) throws(SystemCallError) {
    let parent = directory.number
    number = try Self.retried("open") {
      openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    }
  }

  func status() throws(SystemCallError) -> stat {
    var status = stat()
    guard fstat(number, &status) == 0 else { throw .last("fstat") }
    return status
  }

  func write(_ bytes: [UInt8]) throws(SystemCallError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { Glibc.write(number, $0.baseAddress, $0.count) }
      if written < 0 {
        if errno == EINTR { continue }
        throw .last("write")
      }
      rest = rest.dropFirst(written)
    }
  }

  /// At most `limit` bytes, from where the file stands.
  func read(atMost limit: Int) throws(SystemCallError) -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: min(limit, 16 * 1024))
    while bytes.count < limit {
      let wanted = min(chunk.count, limit - bytes.count)
      let count = chunk.withUnsafeMutableBytes { Glibc.read(number, $0.baseAddress, wanted) }
      if count < 0 {
        if errno == EINTR { continue }
        throw .last("read")
      }
      if count == 0 { break }
      bytes += chunk[..<count]
    }
    return bytes
  }

  func setMode(_ mode: mode_t) throws(SystemCallError) {
    guard fchmod(number, mode) == 0 else { throw .last("fchmod") }
  }

  func synchronize() throws(SystemCallError) {
    while fsync(number) != 0 {
      if errno == EINTR { continue }
      throw .last("fsync")
    }
  }

  /// False when somebody else holds the lock.
  func tryLock() throws(SystemCallError) -> Bool {
    while flock(number, LOCK_EX | LOCK_NB) != 0 {
      switch errno {
      case EINTR: continue
      case EWOULDBLOCK: return false
      default: throw .last("flock")
      }
    }
    return true
  }

  /// Closes now, and says what `deinit` could not: some file systems report a failed write here.
  consuming func close() throws(SystemCallError) {
    let number = self.number
    discard self
    // Not repeated on EINTR: Linux has let go of the descriptor by then.
    guard Glibc.close(number) == 0 || errno == EINTR else { throw .last("close") }
  }

  private static func retried(
    _ call: String, _ body: () -> Int32
  ) throws(SystemCallError) -> Int32 {
    while true {
      let result = body()
      if result >= 0 { return result }
      if errno != EINTR { throw .last(call) }
    }
  }
}
