internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// Tells everybody who listens that the terminal's window has changed its size (SIGWINCH).
///
/// A signal belongs to the whole process, so there is one of these, with one thread that waits. A
/// handler for SIGWINCH that the program sets itself takes its place.
final class WindowChanges: Sendable {
  static let shared = WindowChanges()

  private struct State {
    var isWatching = false
    var listeners: [UInt64: AsyncStream<Void>.Continuation] = [:]
    var nextKey: UInt64 = 0
  }

  private let state = Mutex(State())

  /// Changes from now on. Several of them that nobody has looked at yet are one.
  func stream() throws(SystemError) -> AsyncStream<Void> {
    try state.withLock { state throws(SystemError) in
      if !state.isWatching { try watch() }
      state.isWatching = true
    }
    let (stream, continuation) = AsyncStream.makeStream(
      of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let key = state.withLock { state in
      state.nextKey += 1
      state.listeners[state.nextKey] = continuation
      return state.nextKey
    }
    continuation.onTermination = { _ in
      self.state.withLock { _ = $0.listeners.removeValue(forKey: key) }
    }
    return stream
  }

  private func watch() throws(SystemError) {
    let counter = clinux_window_changes()
    guard counter >= 0 else { throw SystemError("eventfd", errno: -counter) }
    try startThread("hawse-window") {
      var count: UInt64 = 0
      while true {
        // Waits for the counter to be more than nothing; it is never closed.
        guard read(counter, &count, 8) == 8 else { continue }
        for listener in self.state.withLock({ Array($0.listeners.values) }) { listener.yield() }
      }
    }
  }
}

extension Terminal {
  /// Tells when the size of the window has changed; ``size()`` is what it is then. Ends with the
  /// task that listens.
  ///
  /// - Throws: `terminalUnusable`.
  public static func windowChanges() throws(ContainerdClientError) -> AsyncStream<Void> {
    do {
      return try WindowChanges.shared.stream()
    } catch {
      throw ContainerdClientError(
        .terminalUnusable, "cannot watch the terminal's window", cause: error)
    }
  }
}
