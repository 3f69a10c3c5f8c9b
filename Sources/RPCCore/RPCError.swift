/// Why a call did not give a response.
///
/// `reason` tells an answer of the peer (`.status`) from what happened on this side, which the code
/// alone cannot: a peer that answers Unavailable is alive, a lost connection is not.
public struct RPCError: Error, Sendable {
  public enum Reason: Sendable, Hashable {
    /// The peer answered with this status.
    case status
    /// The connection was lost, or closed by this side, before the answer came.
    case connectionClosed
    /// The call's own deadline passed on this side.
    case deadline
    /// The calling task was cancelled.
    case cancelled
    /// The message is larger than the protocol carries. Nothing of it was sent, or it was drained.
    case oversize
    /// A stream held more of what the peer sent than it may, since nobody took it on this side.
    case overflow
    /// The peer sent what the protocol does not allow here.
    case protocolViolation
    /// A message could not be encoded or decoded.
    case encoding
  }

  public var code: RPCCode
  public var message: String
  public var reason: Reason
  /// Typed details that the peer attached to its status, in its order.
  public var details: [RPCStatusDetail]
  public var cause: (any Error)?

  public init(
    code: RPCCode, message: String, reason: Reason = .status, details: [RPCStatusDetail] = [],
    cause: (any Error)? = nil
  ) {
    self.code = code
    self.message = message
    self.reason = reason
    self.details = details
    self.cause = cause
  }
}

/// One entry of `google.rpc.Status.details`: a `google.protobuf.Any`, not unpacked.
public struct RPCStatusDetail: Hashable, Sendable {
  public var typeURL: String
  public var value: [UInt8]

  public init(typeURL: String, value: [UInt8]) {
    self.typeURL = typeURL
    self.value = value
  }
}

extension RPCError: CustomStringConvertible {
  public var description: String {
    guard let cause else { return "\(code): \(message)" }
    return "\(code): \(message): \(cause)"
  }
}
