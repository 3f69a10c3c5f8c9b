import Dispatch
import Glibc
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
  private let sources = Mutex<[Source]>([])

  /// Held to keep the source alive, and never used again: that is why it may be shared.
  private struct Source: @unchecked Sendable {
    let source: any DispatchSourceSignal
  }

  private init() {}

  /// Takes the signals from their default action. To be called once, early.
  func take(_ first: @escaping Receiver) {
    receiver.withLock { $0 = first }
    let made = Self.taken.map { number -> Source in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler { [self] in
        let receiver = receiver.withLock { $0 }
        receiver?(number)
      }
      source.resume()
      return Source(source: source)
    }
    sources.withLock { $0 = made }
    // A reader of our output that goes away is an error of a write, not our end.
    signal(SIGPIPE, SIG_IGN)
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
