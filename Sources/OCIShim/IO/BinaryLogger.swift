internal import Glibc
internal import LinuxSystem
internal import ProcessSupervision
internal import Synchronization

/// A program that takes the output of one process: it reads its standard output at descriptor 3 and
/// its standard error at 4, says at 5 that it is ready, and has nothing else, but `CONTAINER_ID` and
/// `CONTAINER_NAMESPACE` in its environment (containerd's docs/runtime-v2.md, "Logging").
final class BinaryLogger: Sendable {
  struct Limits: Sendable {
    /// How long it may take to be ready.
    var ready = Duration.seconds(10)
    /// How long it may go on by itself when nobody writes to it any more.
    var ownEnd = Duration.seconds(2)
    /// From SIGTERM to SIGKILL.
    var terminated = Duration.seconds(8)
  }

  private struct Ends {
    var readers: [SharedDescriptor] = []
    var writers: [SharedDescriptor] = []
    var child: ChildProcess?
  }

  private let uri: LoggerURI
  /// What it is told in `CONTAINER_ID`: the container's name, or the exec's.
  private let id: String
  private let namespace: String
  private let limits: Limits
  private let ends: Mutex<Ends>

  /// Makes the pipes. Nothing runs yet.
  init(
    _ uri: LoggerURI, id: String, namespace: String, limits: Limits = Limits()
  ) throws(OCIShimError) {
    self.uri = uri
    self.id = id
    self.namespace = namespace
    self.limits = limits
    var made = Ends()
    do throws(SystemError) {
      for _ in 0..<2 {
        let (reader, writer) = try Pipe().takeBoth()
        made.readers.append(SharedDescriptor(OwnedDescriptor(owning: reader)))
        made.writers.append(SharedDescriptor(OwnedDescriptor(owning: writer)))
      }
    } catch {
      throw OCIShimError(code: .system, message: "a logger's pipes cannot be made", cause: error)
    }
    ends = Mutex(made)
  }

  /// For the process: its own number to ours; empty once they are given up.
  var writers: [Int32: SharedDescriptor] {
    ends.withLock { ends in
      ends.writers.count == 2 ? [1: ends.writers[0], 2: ends.writers[1]] : [:]
    }
  }

  /// Which process it is, while it runs.
  var process: JournalRecord.Process? {
    guard let pid = ends.withLock({ $0.child })?.pid else { return nil }
    return JournalRecord.Process(pid: pid, startTime: ProcessStatus(pid: pid)?.startTime)
  }

  /// The process has its ends: ours are closed, so that its end is the logger's end of input.
  func giveUpWriters() { ends.withLock { $0.writers = [] } }

  /// Starts the program and waits until it is ready.
  ///
  /// - Throws: `loggerFailed`; nothing of it runs then.
  func start() async throws(OCIShimError) {
    let signal: SharedDescriptor
    let child: ChildProcess
    do {
      (signal, child) = try spawn()
    } catch {
      throw failure("cannot be started", error)
    }
    do throws(OCIShimError) {
      try await awaitReady(signal)
    } catch {
      child.signalGroup(SIGKILL)
      // It is killed, and reaped in any case.
      _ = try? await child.wait()
      throw error
    }
  }

  private func spawn() throws -> (SharedDescriptor, ChildProcess) {
    let ready = try Pipe()
    try ready.reading.makeNonBlocking()
    let readers = ends.withLock { ends in
      defer { ends.readers = [] }
      return ends.readers
    }
    var command = Command(
      uri.program, arguments: uri.arguments,
      environment: ["CONTAINER_ID=\(id)", "CONTAINER_NAMESPACE=\(namespace)"])
    command.descriptors = [
      3: readers[0].number, 4: readers[1].number, 5: ready.writing.number,
    ]
    // Their numbers alone do not keep them open.
    let child = try withExtendedLifetime(readers) { try command.spawn() }
    ends.withLock { $0.child = child }
    return (SharedDescriptor(ready.takeReading()), child)
  }

  private enum Readiness { case byte, closed }

  private func awaitReady(_ signal: SharedDescriptor) async throws(OCIShimError) {
    let deadline = ContinuousClock.now + limits.ready
    var pause = Duration.microseconds(200)
    while true {
      switch try look(signal) {
      case .byte: return
      case .closed where !uri.saysReady: return
      case .closed: throw failure("closed its descriptor 5 without a byte: it did not say ready")
      case nil: break
      }
      guard ContinuousClock.now < deadline else {
        throw failure("was not ready within \(limits.ready) and was killed")
      }
      do { try await Task.sleep(for: pause) } catch { throw failure("was not waited for", error) }
      pause = min(pause * 2, .milliseconds(20))
    }
  }

  private func look(
    _ signal: SharedDescriptor
  ) throws(OCIShimError) -> Readiness? {
    var byte: UInt8 = 0
    let count = retryingInterrupts { read(signal.number, &byte, 1) }
    if count < 0 {
      if errno == EAGAIN { return nil }
      throw failure("cannot be waited for", SystemError.last("read"))
    }
    return count == 1 ? .byte : .closed
  }

  private func failure(_ what: String, _ cause: (any Error)? = nil) -> OCIShimError {
    OCIShimError(
      code: .loggerFailed, message: "the logger \(uri.program) of \(id) \(what)",
      hint: uri.saysReady
        ? "A logger of binary-v2:// writes a byte to descriptor 5 when it is ready."
        : "A logger closes descriptor 5 when it is ready.", cause: cause)
  }

  /// Nobody writes any more: waits for its end, which it is helped to after a while. Any number may
  /// call; none waits longer than the limits add up to.
  func end() async {
    giveUpWriters()
    guard let child = ends.withLock({ $0.child }) else { return }
    if await hasEnded(child, within: limits.ownEnd) { return }
    child.signal(SIGTERM)
    if await hasEnded(child, within: limits.terminated) { return }
    child.signalGroup(SIGKILL)
    _ = await hasEnded(child, within: .seconds(1))
  }

  private func hasEnded(_ child: ChildProcess, within limit: Duration) async -> Bool {
    do throws(ProcessError) {
      return try await child.wait(within: limit) != nil
    } catch {
      // A status that is lost is an end, too; and a cancelled wait is not to have it killed.
      return error.code == .statusLost || error.code == .cancelled
    }
  }
}
