internal import Glibc

extension StateDirectory {
  /// Runs the body while no other task and no other process runs one for the same id: what keeps two
  /// `hawse` from changing the same bundle at once.
  ///
  /// The lock is advisory (flock(2) on `<state>/locks/<namespace>:<id>`) and ends with the process at
  /// the latest. It is not fair, and not reentrant: a nested call for the same id waits for itself.
  ///
  /// - Parameter timeout: how long to wait for whoever holds it.
  /// - Throws: ``ShimManagementError`` with `busy` when the time ran out, naming the holder where it
  ///   is known; `cancelled` when the task was cancelled while it waited; what the body throws.
  @discardableResult
  nonisolated(nonsending) public func withLock<Value>(
    namespace: String, id: String, timeout: Duration = .seconds(10),
    _ body: nonisolated(nonsending) () async throws -> Value
  ) async throws -> Value {
    try BundleName.validate(namespace: namespace, id: id)
    let path = "\(locks)/\(namespace):\(id)"
    let lock = try await Self.acquire(path, for: "\(namespace)/\(id)", timeout: timeout)
    defer { lock.release() }
    return try await body()
  }

  nonisolated(nonsending) private static func acquire(
    _ path: String, for name: String, timeout: Duration
  ) async throws -> FileLock {
    let deadline = ContinuousClock.now + timeout
    var pause = Duration.milliseconds(1)
    while true {
      do {
        if let lock = try FileLock.tryAcquire(path) { return lock }
      } catch {
        throw ShimManagementError(
          code: error.errno == EROFS || error.errno == EACCES ? .notWritable : .stateDirectory,
          message: "The lock of \(name) cannot be taken",
          hint: "Check the state directory that it lies in.", cause: error)
      }
      guard ContinuousClock.now < deadline else {
        let holder = FileLock.holder(path).map { "process \($0)" } ?? "another process"
        throw ShimManagementError(
          code: .busy,
          message: "\(name) is in use by \(holder), which did not finish in \(timeout)",
          hint: "Wait for it, or end it, and try again.")
      }
      do {
        try await Task.sleep(for: pause)
      } catch {
        throw ShimManagementError(
          code: .cancelled, message: "Waiting for the lock of \(name) was cancelled", cause: error)
      }
      pause = min(pause * 2, .milliseconds(50))
    }
  }
}

/// A lock file that is held. The file is there only while somebody holds or wants it.
struct FileLock: Equatable {
  let descriptor: Int32
  let path: String

  /// Takes the lock if it is free; nil if somebody holds it.
  static func tryAcquire(_ path: String) throws(FileSystemError) -> FileLock? {
    let descriptor = retryingInterrupts {
      open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
    }
    guard descriptor >= 0 else { throw FileSystemError("open", path) }
    do throws(FileSystemError) {
      if try lock(descriptor, path) { return FileLock(descriptor: descriptor, path: path) }
    } catch {
      close(descriptor)
      throw error
    }
    close(descriptor)
    return nil
  }

  /// Locks a file that was opened at the path; false if the lock is not to be had by it.
  static func lock(_ descriptor: Int32, _ path: String) throws(FileSystemError) -> Bool {
    guard retryingInterrupts({ flock(descriptor, LOCK_EX | LOCK_NB) }) == 0 else {
      if errno == EWOULDBLOCK { return false }
      throw FileSystemError("flock", path)
    }
    // The last holder may have removed the file between our open and our lock. Then this is the lock
    // of a file that nobody else will ever see, and worth nothing.
    let mine = try FileStatus.of(descriptor: descriptor, path: path)
    guard let there = try FileStatus.ofItself(path), there.isSameFile(as: mine) else {
      return false
    }
    // For the error message of those who wait; not what the lock rests on, so it may fail.
    let pid = Array("\(getpid())\n".utf8)
    if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, pid, pid.count, 0) }
    return true
  }

  /// Removes the file while the lock is still held, so that only the holder ever removes it.
  func release() {
    unlink(path)
    close(descriptor)
  }

  /// The pid that the holder wrote, if it did.
  static func holder(_ path: String) -> Int32? {
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var text = [UInt8](repeating: 0, count: 16)
    let count = retryingInterrupts { read(descriptor, &text, text.count) }
    guard count > 1, text[count - 1] == UInt8(ascii: "\n") else { return nil }
    return Int32(String(decoding: text[..<(count - 1)], as: UTF8.self))
  }
}
