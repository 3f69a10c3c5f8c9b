import NIOCore
import RPCCore

/// What a server's stream may send and what a frame means for it. It does no I/O.
///
/// The rules are ttrpc's PROTOCOL.md, "Streams"; the answers are those of Go's server.
struct ServerStreamStateMachine {
  private enum State {
    case open
    /// The client has sent its last message.
    case received
    case ended
  }

  /// What a frame from the client is for the stream.
  enum Receipt: Equatable {
    case ignored
    case message(ByteBuffer)
    /// The client has sent its last message: this one, or it was sent before.
    case last(ByteBuffer?)
    /// The frame is answered with an error; the handler goes on, as it does in Go.
    case refused(String)
  }

  /// What ends the call on the wire.
  enum Ending: Equatable {
    case response(ByteBuffer)
    case end
    case error(RPCError)

    static func == (one: Ending, other: Ending) -> Bool {
      switch (one, other) {
      case (.end, .end): true
      case (.response(let one), .response(let other)): one == other
      case (.error(let one), .error(let other)):
        one.code == other.code && one.message == other.message
      default: false
      }
    }
  }

  private var state: State
  let kind: RPCStreamKind

  /// The method's kind decides how the stream goes on; a request's flags do not (Go's server never
  /// looks at them).
  init(_ kind: RPCStreamKind) {
    self.kind = kind
    state = kind == .serverStreaming ? .received : .open
  }

  var hasEnded: Bool { state == .ended }

  /// The first message, which came within the Request.
  func open(_ flags: FrameFlags, _ payload: ByteBuffer) -> ByteBuffer? {
    // A client that sends no data frames has said all with its request, also with an empty one.
    if kind == .serverStreaming { return payload }
    return payload.readableBytes > 0 && !flags.contains(.noData) ? payload : nil
  }

  mutating func receive(_ flags: FrameFlags, _ data: ByteBuffer) -> Receipt {
    let message = flags.contains(.noData) ? nil : data
    switch state {
    case .open:
      guard flags.contains(.remoteClosed) else { return message.map { .message($0) } ?? .ignored }
      state = .received
      return .last(message)
    case .received:
      return message == nil ? .ignored : .refused("data handling error: ttrpc: stream closed")
    case .ended: return .refused("StreamID is no longer active")
    }
  }

  /// Whether a message may be written.
  func send() -> Bool { state != .ended }

  /// The handler has returned or thrown.
  ///
  /// - Returns: what to write, or nil if the stream had ended before.
  mutating func returned(_ result: Result<ByteBuffer?, RPCError>) -> Ending? {
    guard end() else { return nil }
    switch result {
    case .success(let response):
      return kind == .clientStreaming ? .response(response ?? ByteBuffer()) : .end
    case .failure(let error): return .error(error)
    }
  }

  /// The stream ends without its handler: its deadline has passed, the peer broke its rules, or the
  /// connection is lost.
  ///
  /// - Returns: whether it had not ended before.
  mutating func end() -> Bool {
    guard state != .ended else { return false }
    state = .ended
    return true
  }
}
