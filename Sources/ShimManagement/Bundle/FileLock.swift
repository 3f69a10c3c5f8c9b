internal import Glibc
internal import LinuxSystem

/// A lock file that is held (flock(2)). The file is there only while somebody holds or wants it.
struct FileLock: Hashable, Sendable {
  let descriptor: Int32
  let path: String

  /// Takes the lock if it is free; nil if somebody holds it in a way that keeps this out.
  static func tryAcquire(
    _ path: String, shared: Bool = false
  ) throws(SystemError) -> FileLock? {
    let descriptor = retryingInterrupts {
      open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
    }
    guard descriptor >= 0 else { throw SystemError.last("open", path) }
    do throws(SystemError) {
      if try lock(descriptor, path, shared: shared) {
        return FileLock(descriptor: descriptor, path: path)
      }
    } catch {
      close(descriptor)
      throw error
    }
    close(descriptor)
    return nil
  }

  /// Locks a file that was opened at the path; false if the lock is not to be had by it.
  static func lock(
    _ descriptor: Int32, _ path: String, shared: Bool = false
  ) throws(SystemError) -> Bool {
    let way = (shared ? LOCK_SH : LOCK_EX) | LOCK_NB
    guard retryingInterrupts({ flock(descriptor, way) }) == 0 else {
      if errno == EWOULDBLOCK { return false }
      throw SystemError.last("flock", path)
    }
    // The last holder may have removed the file between our open and our lock. Then this is the lock
    // of a file that nobody else will ever see, and worth nothing.
    guard try isCurrent(descriptor, path) else { return false }
    // For the error message of those who wait; not what the lock rests on, so it may fail.
    let pid = Array("\(getpid())\n".utf8)
    if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, pid, pid.count, 0) }
    return true
  }

  /// Lets go of the lock, and removes the file if nobody else holds it: only who holds it alone may,
  /// or others could hold the lock of a file that is no longer there.
  func release() {
    defer { close(descriptor) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { return }
    // A shared lock does not become exclusive in one step: meanwhile another may have held it alone
    // and removed the file, and what lies there now would be the lock of a third. If it cannot be
    // looked at it stays, which harms nobody.
    if (try? Self.isCurrent(descriptor, path)) == true { unlink(path) }
  }

  /// Leaves a note for those who find it held. It may fail: the lock does not rest on it.
  func note(_ text: String) {
    let bytes = Array(text.utf8)
    if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, bytes, bytes.count, 0) }
  }

  /// The note that the holder left, as far as it is text of a reasonable size.
  static func note(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var text = [UInt8](repeating: 0, count: 4096)
    let count = retryingInterrupts { read(descriptor, &text, text.count) }
    guard count > 0 else { return nil }
    return String(decoding: text[..<count], as: UTF8.self)
  }

  /// The pid that the latest holder wrote, if it did.
  static func holder(_ path: String) -> Int32? {
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var text = [UInt8](repeating: 0, count: 16)
    let count = retryingInterrupts { read(descriptor, &text, text.count) }
    guard count > 1, text[count - 1] == UInt8(ascii: "\n") else { return nil }
    return Int32(String(decoding: text[..<(count - 1)], as: UTF8.self))
  }

  /// Whether the open file is the one that is at the path now.
  private static func isCurrent(
    _ descriptor: Int32, _ path: String
  ) throws(SystemError) -> Bool {
    let mine = try FileStatus.of(descriptor: descriptor, path: path)
    return try FileStatus.ofItself(path)?.isSameFile(as: mine) == true
  }
}
