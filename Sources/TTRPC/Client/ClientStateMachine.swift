import NIOCore
import RPCCore

/// The client's side of a connection: which streams are open and what a frame means for them.
/// It does no I/O; ``ClientHandler`` carries out what it says.
struct ClientStateMachine<Call> {
  private enum Phase {
    case open
    /// The ids are used up: calls under way may end, none may begin.
    case draining
    case closed(RPCError)
  }

  enum Opening {
    case opened(UInt32)
    case refused(RPCError)
  }

  private var phase = Phase.open
  private var calls = StreamTable<Call>()
  /// The next stream's id. Clients use the odd ones, each once (ttrpc PROTOCOL.md, "Stream ID").
  private var nextID: UInt32

  init(firstID: UInt32 = 1) { nextID = firstID }

  /// How many calls wait for an answer.
  var waiting: Int { calls.count }

  /// Whether nothing more can happen on this connection, though it is open.
  var isSpent: Bool {
    if case .draining = phase { return calls.isEmpty }
    return false
  }

  /// Why a new call cannot be made, or nil if it can.
  var refusal: RPCError? {
    switch phase {
    case .open: nil
    case .draining: .idsUsedUp
    case .closed(let error): error
    }
  }

  /// Gives a call its id. The caller must write the request before anything else is opened: a
  /// server refuses an id that is not above all that it has seen.
  mutating func open(_ call: Call) -> Opening {
    if let refusal { return .refused(refusal) }
    let id = nextID
    calls.insert(call, for: id)
    let (next, overflow) = id.addingReportingOverflow(2)
    if overflow { phase = .draining } else { nextID = next }
    return .opened(id)
  }

  /// Finds out whom a frame ends. A frame on a stream that nobody waits for, a late answer among
  /// them, ends nobody.
  mutating func receive(_ event: FrameDecoder.Event) -> (Call, ClientCall.Outcome)? {
    switch event {
    case .frame(let header, let data):
      guard let call = calls.remove(header.streamID) else { return nil }
      if header.type == .response { return (call, .success(data)) }
      return (call, .failure(.unexpectedFrame(header)))
    case .oversize(let header):
      guard let call = calls.remove(header.streamID) else { return nil }
      return (call, .failure(.oversize(Int(header.length))))
    }
  }

  /// Forgets a call that no longer waits. Its answer will be ignored.
  mutating func forget(_ id: UInt32) { calls.remove(id) }

  /// Ends the connection.
  ///
  /// - Returns: the calls that must fail, or nil if it had ended already.
  mutating func close(_ error: RPCError) -> [Call]? {
    if case .closed = phase { return nil }
    phase = .closed(error)
    return calls.removeAll()
  }
}

extension RPCError {
  static var idsUsedUp: RPCError {
    RPCError(
      code: .unavailable,
      message: "all stream ids of this connection have been used; connect again",
      reason: .connectionClosed)
  }

  static func oversize(_ length: Int) -> RPCError {
    RPCError(
      code: .resourceExhausted, message: FrameHeader.oversizeText(length), reason: .oversize)
  }

  static func unexpectedFrame(_ header: FrameHeader) -> RPCError {
    RPCError(
      code: .internal,
      message:
        "the peer answered a unary call with a frame of type \(header.type.rawValue) "
        + "where a Response (type 2) belongs",
      reason: .protocolViolation)
  }
}
