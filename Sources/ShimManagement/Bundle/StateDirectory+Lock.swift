internal import Glibc
internal import LinuxSystem

extension StateDirectory {
  /// Runs the body while no other task and no other process runs one for the same id: what keeps two
  /// `hawse` from changing the same bundle at once.
  ///
  /// The lock is advisory (flock(2) on `<state>/locks/<namespace>:<id>`) and ends with the process at
  /// the latest. It is not fair, and not reentrant: a nested call for the same id waits for itself.
  ///
  /// - Parameters:
  ///   - shared: lets others in that ask for the same, and keeps out those who do not.
  ///   - timeout: how long to wait for whoever holds it.
  /// - Throws: ``ShimManagementError`` with `busy` when the time ran out, naming the holder where it
  ///   is known; `cancelled` when the task was cancelled while it waited; what the body throws.
  @discardableResult
  nonisolated(nonsending) public func withLock<Value>(
    namespace: String, id: String, shared: Bool = false, timeout: Duration = .seconds(10),
    _ body: nonisolated(nonsending) () async throws(ShimManagementError) -> Value
  ) async throws(ShimManagementError) -> Value {
    try BundleName.validate(namespace: namespace, id: id)
    let path = "\(locks)/\(namespace):\(id)"
    let lock = try await Self.acquire(
      path, shared: shared, for: "\(namespace)/\(id)", timeout: timeout)
    defer { lock.release() }
    return try await body()
  }

  /// Removes the lock files of a namespace that nobody holds: a process that was killed leaves its own
  /// behind. What cannot be removed is left to whoever takes that lock next.
  func sweepLocks(namespace: String) {
    guard let names = try? OwnedDescriptor.directory(locks).names() else { return }
    for name in names where name.hasPrefix("\(namespace):") {
      guard let lock = try? FileLock.tryAcquire("\(locks)/\(name)") else { continue }
      lock.release()
    }
  }

  nonisolated(nonsending) private static func acquire(
    _ path: String, shared: Bool, for name: String, timeout: Duration
  ) async throws(ShimManagementError) -> FileLock {
    let deadline = ContinuousClock.now + timeout
    var pause = Duration.milliseconds(1)
    while true {
      if let lock = try tryLock(path, shared: shared, for: name) { return lock }
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
          code: .cancelled, message: "waiting for the lock of \(name) was cancelled", cause: error)
      }
      pause = min(pause * 2, .milliseconds(50))
    }
  }

  private static func tryLock(
    _ path: String, shared: Bool, for name: String
  ) throws(ShimManagementError) -> FileLock? {
    do {
      return try FileLock.tryAcquire(path, shared: shared)
    } catch {
      throw ShimManagementError(
        code: error.errno == EROFS || error.errno == EACCES ? .notWritable : .stateDirectory,
        message: "the lock of \(name) cannot be taken",
        hint: "Check the state directory that it lies in.", cause: error)
    }
  }
}
