internal import NIOCore
internal import Synchronization

/// A stream that counts the messages of another and tells once how it ended.
final class WatchedStream: RPCStream {
  typealias End = @Sendable (_ error: RPCError?, _ sent: Int, _ received: Int) -> Void

  private struct State {
    var sent = 0
    var received = 0
    var end: End?
  }

  private let base: any RPCStream
  private let state: Mutex<State>

  init(_ base: any RPCStream, end: @escaping End) {
    self.base = base
    state = Mutex(State(end: end))
  }

  deinit { finish(.streamGivenUp) }

  /// Messages sent and received.
  var counts: (Int, Int) { state.withLock { ($0.sent, $0.received) } }

  nonisolated(nonsending) func send(_ message: ByteBuffer) async throws(RPCError) {
    try await base.send(message)
    state.withLock { $0.sent += 1 }
  }

  nonisolated(nonsending) func finishSending() async throws(RPCError) {
    try await base.finishSending()
  }

  nonisolated(nonsending) func next() async throws(RPCError) -> ByteBuffer? {
    do throws(RPCError) {
      guard let message = try await base.next() else {
        finish(nil)
        return nil
      }
      state.withLock { $0.received += 1 }
      return message
    } catch {
      // A wait that was cancelled has not ended the stream.
      if error.reason != .cancelled { finish(error) }
      throw error
    }
  }

  func cancel() {
    base.cancel()
    finish(.streamGivenUp)
  }

  private func finish(_ error: RPCError?) {
    let (end, sent, received) = state.withLock { state in
      defer { state.end = nil }
      return (state.end, state.sent, state.received)
    }
    end?(error, sent, received)
  }
}

extension RPCError {
  fileprivate static var streamGivenUp: RPCError {
    RPCError(code: .cancelled, message: "the stream was given up", reason: .cancelled)
  }
}
