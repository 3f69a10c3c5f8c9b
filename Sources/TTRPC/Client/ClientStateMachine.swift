import NIOCore
import RPCCore

/// What a client waits for on one stream id.
enum ClientEntry {
  case call(ClientCall)
  case stream(ClientStream)
}

/// The client's side of a connection: which streams are open and whom a frame is for.
/// It does no I/O; ``ClientHandler`` carries out what it says.
struct ClientStateMachine {
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
  private var entries = StreamTable<ClientEntry>()
  /// The next stream's id. Clients use the odd ones, each once (ttrpc PROTOCOL.md, "Stream ID").
  private var nextID: UInt32

  init(firstID: UInt32 = 1) { nextID = firstID }

  /// How many calls and streams have not ended.
  var waiting: Int { entries.count }

  /// Whether nothing more can happen on this connection, though it is open.
  var isSpent: Bool {
    if case .draining = phase { return entries.isEmpty }
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
  mutating func open(_ entry: ClientEntry) -> Opening {
    if let refusal { return .refused(refusal) }
    let id = nextID
    entries.insert(entry, for: id)
    let (next, overflow) = id.addingReportingOverflow(2)
    if overflow { phase = .draining } else { nextID = next }
    return .opened(id)
  }

  enum Receipt {
    /// The call has this outcome and is forgotten.
    case ends(ClientCall, ClientCall.Outcome)
    /// The stream knows what the frame is for it, and is forgotten when it says so.
    case stream(ClientStream)
    /// Nobody waits for the frame; a late answer is such a one.
    case ignored
  }

  /// Finds out whom a frame is for.
  mutating func receive(_ event: FrameDecoder.Event) -> Receipt {
    let header: FrameHeader
    let outcome: ClientCall.Outcome
    switch event {
    case .frame(let its, let data):
      header = its
      outcome = its.type == .response ? .success(data) : .failure(.unexpectedFrame(its))
    case .oversize(let its):
      header = its
      outcome = .failure(.oversize(Int(its.length)))
    }
    switch entries.take(header.streamID, where: \.isCall) {
    case .call(let call): return .ends(call, outcome)
    case .stream(let stream): return .stream(stream)
    case nil: return .ignored
    }
  }

  /// Forgets what no longer waits. Frames for it will be ignored.
  mutating func forget(_ id: UInt32) { entries.remove(id) }

  /// The streams that are open, in no order that means anything.
  func forEachStream(_ body: (ClientStream) -> Void) {
    entries.forEach { if case .stream(let stream) = $0 { body(stream) } }
  }

  /// Ends the connection.
  ///
  /// - Returns: the calls and streams that must fail, or nil if it had ended already.
  mutating func close(_ error: RPCError) -> [ClientEntry]? {
    if case .closed = phase { return nil }
    phase = .closed(error)
    return entries.removeAll()
  }
}

extension ClientEntry {
  /// Whether its deadline still matters.
  var isLive: Bool {
    switch self {
    case .call(let call): call.state != .finished
    case .stream(let stream): !stream.machine.hasEnded
    }
  }

  /// A call ends with the first frame that comes for it.
  fileprivate var isCall: Bool {
    if case .call = self { return true }
    return false
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
        "the peer answered the call with a frame of type \(header.type.rawValue) "
        + "where a Response (type 2) belongs",
      reason: .protocolViolation)
  }
}
