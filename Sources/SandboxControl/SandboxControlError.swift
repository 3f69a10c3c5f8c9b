public import RPCCore

/// Why a sandbox could not be controlled.
public struct SandboxControlError: Error, Sendable {
  public enum Code: Hashable, Sendable, CaseIterable {
    /// An id, a namespace or another value that cannot be meant.
    case invalidRequest
    /// The call does not say in which namespace.
    case noNamespace
    /// There is no such sandbox.
    case sandboxNotFound
    /// There is a sandbox of that name already.
    case sandboxExists
    /// The sandbox is not in a state in which this can be done.
    case wrongState
    /// Nobody answers where the sandbox is, or not now.
    case unreachable
    /// The time for the operation ran out.
    case timedOut
    /// The sandbox's peer, or its shim, answered with an error, which is the cause.
    case callFailed
    /// The peer does not have what was asked of it.
    case unsupported
    /// A sandbox that started did not say where its task API is, or of which version that is.
    case badEndpoint
    /// A sandbox's record is damaged, or of a future version. It is left as it is.
    case damagedRecord
    /// The state directory could not be read or written.
    case storage
    /// The configuration cannot be meant.
    case invalidConfiguration
    /// The controller stops: the sandbox goes on, and the call can be made again.
    case stopping
    /// There are too many of something, or somebody is too far behind.
    case overrun
    /// The calling task was cancelled.
    case cancelled
  }

  public var code: Code
  /// What failed, and on what: a clause without a full stop.
  public var message: String
  /// What to do about it: a whole sentence.
  public var hint: String?
  public var cause: (any Error)?

  public init(code: Code, message: String, hint: String? = nil, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.hint = hint
    self.cause = cause
  }
}

extension SandboxControlError: CustomStringConvertible {
  /// One paragraph: what failed, on what, why, what to do.
  public var description: String {
    var text = message
    if let cause { text += ": \(cause)" }
    guard let hint else { return text }
    return (text.hasSuffix(".") ? text : text + ".") + " " + hint
  }
}

extension SandboxControlError {
  /// The status that a caller gets, by the mapping of containerd's errdefs.
  public var rpcCode: RPCCode {
    switch code {
    case .invalidRequest: .invalidArgument
    case .noNamespace, .wrongState, .invalidConfiguration: .failedPrecondition
    case .sandboxNotFound: .notFound
    case .sandboxExists: .alreadyExists
    case .unreachable, .stopping: .unavailable
    case .timedOut: .deadlineExceeded
    case .callFailed: Self.status(of: cause)
    case .unsupported: .unimplemented
    case .badEndpoint, .storage: .internal
    case .damagedRecord: .dataLoss
    case .overrun: .resourceExhausted
    case .cancelled: .cancelled
    }
  }

  /// What the peer answered. A call that it did not answer is no status of the caller's own call: that
  /// one was not cancelled and did not lose its connection.
  private static func status(of cause: (any Error)?) -> RPCCode {
    guard let error = cause as? RPCError else { return .unknown }
    switch error.reason {
    case .status: return error.code == .ok ? .unknown : error.code
    case .deadline: return .deadlineExceeded
    case .connectionClosed: return .unavailable
    default: return .unknown
    }
  }

  public var rpcError: RPCError { RPCError(code: rpcCode, message: description, cause: self) }

  /// Whether the peer said that it does not know the sandbox, or is not there any more: who only wants
  /// it gone has what it wants.
  var meansGone: Bool {
    code == .sandboxNotFound || code == .unreachable
      || code == .callFailed && (rpcCode == .notFound || rpcCode == .unavailable)
  }
}
