internal import RPCCore
internal import TransportCore

extension ShimManagementError {
  /// What a failed call to a shim comes to.
  ///
  /// - Parameters:
  ///   - action: the verb, such as "start".
  ///   - subject: what it was to be done to, such as "task web".
  init(action: String, subject: String, address: TransportAddress, _ error: RPCError) {
    // The limit travels with the call: a shim may notice first that it has passed, and say so.
    let hasPassed = error.reason == .status && error.code == .deadlineExceeded
    switch hasPassed ? .deadline : error.reason {
    case .connectionClosed:
      self.init(
        code: .shimDied,
        message: "cannot \(action) \(subject): the connection to its shim at \(address) was lost",
        hint: "The shim ended or was killed; what it left is cleaned up.", cause: error)
    case .deadline:
      self.init(
        code: .timedOut,
        message: "cannot \(action) \(subject): its shim at \(address) does not answer",
        hint: "Run hawse sandbox rm --force to remove a sandbox whose shim is mute.", cause: error)
    case .cancelled:
      self.init(
        code: .cancelled, message: "cannot \(action) \(subject): it was cancelled", cause: error)
    default:
      self.init(code: .callFailed, message: "cannot \(action) \(subject)", cause: error)
    }
  }
}
