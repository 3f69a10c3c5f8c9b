import CLinux
import Glibc
import LinuxSystem
import Synchronization

/// Where the signals that would end this process go: to whoever took them last.
///
/// Until a process runs in the foreground they cancel what the command does, so that it cleans up;
/// then they are the process's.
final class Signals: Sendable {
  typealias Receiver = @Sendable (Int32) -> Void

  static let taken: [Int32] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2]
  static let shared = Signals()

  private let receiver = Mutex<Receiver?>(nil)

  private init() {}

  /// Takes the signals from their default action. To be called once, early: from its return on none
  /// of them ends the process, and none is lost.
  func take(_ first: @escaping Receiver) throws(SystemError) {
    receiver.withLock { $0 = first }
    let pipe = clinux_signals_to_pipe(Self.taken, Int32(Self.taken.count))
    guard pipe >= 0 else { throw SystemError("sigaction", errno: -pipe) }
    try startThread("hawse-signals") { [self] in
      var number: UInt8 = 0
      // The writing end is this process's own: there is no end and no error but a bad pipe.
      while retryingInterrupts({ read(pipe, &number, 1) }) == 1 {
        let receiver = receiver.withLock { $0 }
        receiver?(Int32(number))
      }
    }
    // A reader of our output that goes away is an error of a write, not our end.
    signal(SIGPIPE, SIG_IGN)
  }

  /// A task that the signals cancel. It begins when they are taken, so that none comes too early.
  ///
  /// - Parameter told: of each signal, before the task is cancelled.
  func taskToCancel<Value: Sendable>(
    on executor: (any TaskExecutor)? = nil, told: @escaping Receiver = { _ in },
    _ body: @escaping @Sendable () async throws -> Value
  ) throws(SystemError) -> Task<Value, any Error> {
    let (gate, opening) = AsyncStream<Never>.makeStream()
    let work = Task(executorPreference: executor) {
      for await _ in gate {}
      return try await body()
    }
    defer { opening.finish() }
    try take { number in
      told(number)
      work.cancel()
    }
    return work
  }

  /// Sends the signals somewhere else while the body runs.
  func redirected<Result>(
    to other: @escaping Receiver, _ body: () async throws -> Result
  ) async rethrows -> Result {
    let before = receiver.withLock { $0 }
    receiver.withLock { $0 = other }
    defer { receiver.withLock { $0 = before } }
    return try await body()
  }
}
