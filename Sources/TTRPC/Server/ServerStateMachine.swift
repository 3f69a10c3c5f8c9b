import NIOCore
import RPCCore

/// The server's side of a connection: which requests are acceptable and which calls are open.
/// It does no I/O; ``ServerHandler`` carries out what it says.
///
/// The texts are those of Go's server, so that a peer that looks at them finds what it knows.
struct ServerStateMachine {
  enum Action {
    /// A request to be served.
    case serve(UInt32, FrameFlags, RequestEnvelope)
    /// A data frame for a stream, or what was left of one that was too large.
    case data(ServerStream, FrameHeader, ByteBuffer?)
    /// An answer to a frame that opened nothing.
    case refuse(UInt32, RPCError)
    /// The peer broke the rules of a call under way: it ends with this answer.
    case abort(ServerCall, UInt32, RPCError)
    case ignore
  }

  private var calls = StreamTable<ServerCall>()
  private var lastID: UInt32 = 0
  private var isClosed = false

  /// How many calls and streams have not been answered.
  var open: Int { calls.count }

  /// The streams that are open, in no order that means anything.
  func forEachStream(_ body: (ServerStream) -> Void) {
    calls.forEach { if let stream = $0.stream { body(stream) } }
  }

  mutating func receive(_ event: FrameDecoder.Event) -> Action {
    guard !isClosed else { return .ignore }
    switch event {
    case .oversize(let header):
      // Of a kind that is skipped anyway, the size does not matter.
      guard header.type == .request || header.type == .data else { return .ignore }
      if header.type == .data, let stream = calls[header.streamID]?.stream {
        return .data(stream, header, nil)
      }
      return refuseOrAbort(header.streamID, .oversize(Int(header.length)))
    case .frame(let header, let data):
      switch header.type {
      case .request: return request(header, data)
      case .data:
        if let stream = calls[header.streamID]?.stream { return .data(stream, header, data) }
        return refuseOrAbort(header.streamID, .invalid("StreamID is no longer active"))
      default: return .ignore
      }
    }
  }

  /// Notes that a request is being served.
  mutating func begin(_ call: ServerCall) { calls.insert(call, for: call.id) }

  /// A call that has not been answered.
  func call(_ id: UInt32) -> ServerCall? { calls[id] }

  /// Ends a call, or returns nil if it has been answered already.
  mutating func finish(_ id: UInt32) -> ServerCall? { calls.remove(id) }

  /// Ends the connection and returns the calls that must be cancelled.
  mutating func close() -> [ServerCall] {
    isClosed = true
    return calls.removeAll()
  }

  /// The checks come in the order of Go's server.
  private mutating func request(_ header: FrameHeader, _ data: ByteBuffer) -> Action {
    let id = header.streamID
    guard id % 2 == 1 else {
      return .refuse(id, .invalid("StreamID must be odd for client initiated streams"))
    }
    guard id > lastID else {
      return .refuse(id, .invalid("StreamID cannot be re-used and must increment"))
    }
    // A request that proves to be nonsense has used its id all the same.
    lastID = id
    do throws(WireError) {
      return .serve(
        id, FrameFlags(rawValue: header.flags), try RequestEnvelope(decoding: data))
    } catch {
      return .refuse(id, .invalid("unmarshal request error: \(error)"))
    }
  }

  /// A unary call takes one Request and nothing else; Go's server crashes on data here.
  private mutating func refuseOrAbort(_ id: UInt32, _ error: RPCError) -> Action {
    if let call = calls.remove(id) { return .abort(call, id, error) }
    return .refuse(id, error)
  }
}

extension RPCError {
  fileprivate static func invalid(_ message: String) -> RPCError {
    RPCError(code: .invalidArgument, message: message)
  }
}
