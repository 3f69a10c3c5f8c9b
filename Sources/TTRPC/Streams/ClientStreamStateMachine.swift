import NIOCore
import RPCCore

/// What a client's stream may send and what a frame means for it. It does no I/O.
///
/// The rules are ttrpc's PROTOCOL.md, "Streams"; where Go's and Rust's servers differ, what is sent
/// suits both and what either sends is taken.
struct ClientStreamStateMachine {
  private enum State {
    /// Nothing of it has been written.
    case idle
    case open
    /// This side has sent its last message.
    case sent
    case ended
  }

  /// What a frame from the server is for the stream.
  enum Receipt: Equatable {
    case ignored
    case message(ByteBuffer)
    /// The call has succeeded, with a last message or without.
    case finished(ByteBuffer?)
    case failed(RPCError)

    static func == (one: Receipt, other: Receipt) -> Bool {
      switch (one, other) {
      case (.ignored, .ignored): true
      case (.message(let one), .message(let other)): one == other
      case (.finished(let one), .finished(let other)): one == other
      case (.failed(let one), .failed(let other)):
        one.code == other.code && one.message == other.message && one.reason == other.reason
      default: false
      }
    }
  }

  private var state = State.idle
  let kind: RPCStreamKind

  init(_ kind: RPCStreamKind) { self.kind = kind }

  var hasEnded: Bool { state == .ended }

  /// The stream's Request is about to be written.
  ///
  /// - Returns: its flags, or nil if it must not be written any more.
  mutating func open() -> FrameFlags? {
    guard state == .idle else { return nil }
    switch kind {
    case .serverStreaming:
      // The request is all that the client sends.
      state = .sent
      return .remoteClosed
    case .clientStreaming, .bidirectional:
      state = .open
      // Rust's server takes the Request's payload, empty though it is, for the first message
      // unless it is told that there is none. Go's does not look.
      return [.remoteOpen, .noData]
    }
  }

  /// Whether a message may be written.
  func send() -> Bool { state == .open }

  /// This side has sent its last message.
  ///
  /// - Returns: whether that must be written. It is never said together with a message: Go's
  ///   server takes that for an error.
  mutating func finishSending() -> Bool {
    guard state == .open else { return false }
    state = .sent
    return true
  }

  mutating func receive(_ header: FrameHeader, _ data: ByteBuffer) -> Receipt {
    guard state == .open || state == .sent else { return .ignored }
    switch header.type {
    case .data: return receiveData(FrameFlags(rawValue: header.flags), data, header)
    case .response:
      state = .ended
      return response(data)
    default:
      state = .ended
      return .failed(.unexpectedFrame(header))
    }
  }

  mutating func receiveOversize(_ length: Int) -> Receipt {
    guard state == .open || state == .sent else { return .ignored }
    state = .ended
    return .failed(.oversize(length))
  }

  /// The stream ends on this side: it is given up, its deadline has passed, or its connection is
  /// lost.
  ///
  /// - Returns: whether it had not ended before.
  mutating func end() -> Bool {
    guard state != .ended else { return false }
    state = .ended
    return true
  }

  private mutating func receiveData(
    _ flags: FrameFlags, _ data: ByteBuffer, _ header: FrameHeader
  ) -> Receipt {
    guard kind != .clientStreaming else {
      state = .ended
      return .failed(.unexpectedFrame(header))
    }
    let message = flags.contains(.noData) ? nil : data
    if flags.contains(.remoteClosed) {
      state = .ended
      return .finished(message)
    }
    return message.map { .message($0) } ?? .ignored
  }

  /// A Response ends a stream, whatever it says. Its payload is the last message.
  private func response(_ data: ByteBuffer) -> Receipt {
    let answer: ResponseEnvelope
    do throws(WireError) {
      answer = try ResponseEnvelope(decoding: data)
    } catch {
      return .failed(
        RPCError(
          code: .internal, message: "the peer's Response cannot be read", reason: .encoding,
          cause: error))
    }
    guard answer.code == .ok else {
      return .failed(
        RPCError(code: answer.code, message: answer.message, details: answer.details))
    }
    // Where messages come as Data, a Response without a payload only says that all is well.
    let isMessage = kind == .clientStreaming || answer.payload.readableBytes > 0
    return .finished(isMessage ? answer.payload : nil)
  }
}
