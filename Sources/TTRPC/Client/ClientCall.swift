import NIOCore
import RPCCore

/// One unary call on its way: what it sends, who waits for it, how far it is.
///
/// Its mutable state belongs to the connection's event loop: only ``ClientHandler`` touches it, and
/// only there. The calling task makes it and hands it over, a cancellation hands it over again.
final class ClientCall: @unchecked Sendable {
  // @unchecked: `let`s aside, every access happens on one event loop, which ClientHandler's callers
  // reach through a NIOLoopBound that checks it.

  enum State: Equatable {
    /// Not handed over yet.
    case new
    /// Waits for the channel to be writable; nothing of it has been written.
    case queued
    /// Written; its answer is awaited.
    case waiting(UInt32)
    case finished
  }

  /// The body of the Response frame, or why there is none.
  typealias Outcome = Result<ByteBuffer, RPCError>

  let method: RPCMethod
  let metadata: RPCMetadata
  let timeout: Duration?
  let deadline: NIODeadline?

  var payload: ByteBuffer
  var state = State.new
  /// Unsafe only in that nobody checks that it is resumed once; ``finish(_:)`` sees to that.
  private var continuation: UnsafeContinuation<Outcome, Never>?
  private var early: Outcome?

  init(
    method: RPCMethod, metadata: RPCMetadata, timeout: Duration?, deadline: NIODeadline?,
    payload: ByteBuffer
  ) {
    self.method = method
    self.metadata = metadata
    self.timeout = timeout
    self.deadline = deadline
    self.payload = payload
  }

  /// Gives the call its waiting task; one that ended before resumes at once.
  ///
  /// - Returns: whether the call is still to be made.
  func begin(_ continuation: UnsafeContinuation<Outcome, Never>) -> Bool {
    if let early {
      self.early = nil
      continuation.resume(returning: early)
      return false
    }
    self.continuation = continuation
    return true
  }

  /// Ends the call. The first outcome counts.
  func finish(_ outcome: Outcome) {
    guard state != .finished else { return }
    state = .finished
    payload = ByteBuffer()
    if let continuation {
      self.continuation = nil
      continuation.resume(returning: outcome)
    } else {
      early = outcome
    }
  }
}
