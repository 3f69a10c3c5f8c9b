/// Why an address could not be understood or a connection not be had.
public struct TransportError: Error, Sendable {
  public enum Code: Sendable, Hashable {
    /// The text is not an address of the grammar. `position` and `hint` say where and what to write.
    case invalidAddress
    /// The address is well formed, but may not come from where it came from (a bundle, a reply).
    case forbiddenAddress
    /// No connector is registered for the address's transport.
    case noConnector
    /// What a transport or a layer was set up with cannot work, wherever it would connect: a profile
    /// that does not say what it means, say.
    case invalidConfiguration
    /// Every try failed. `attempts` has them all.
    case connectFailed
    /// The time for all tries together ran out. `attempts` has what was tried until then.
    case timedOut
    /// The calling task was cancelled.
    case cancelled
    /// The peer is not one that the policy lets in.
    case refusedByPolicy
    /// A socket could not be bound or listened on.
    case listenFailed
    /// A connection that was there ended in a way that says why.
    case connectionLost
  }

  /// A try that failed, or several that failed in the same way.
  public struct Attempt: Sendable {
    public var failure: AttemptFailure
    /// How long it took; all of them together, when there were several.
    public var duration: Duration
    /// How many tries it stands for. Waiting for a peer can take thousands.
    public var count: Int

    public init(failure: AttemptFailure, duration: Duration, count: Int = 1) {
      self.failure = failure
      self.duration = duration
      self.count = count
    }
  }

  public var code: Code
  public var message: String
  /// The offset in UTF-8 bytes where the address went wrong.
  public var position: Int?
  /// What was probably meant, or what to do.
  public var hint: String?
  public var attempts: [Attempt]
  public var cause: (any Error)?

  public init(
    code: Code, message: String, position: Int? = nil, hint: String? = nil,
    attempts: [Attempt] = [], cause: (any Error)? = nil
  ) {
    self.code = code
    self.message = message
    self.position = position
    self.hint = hint
    self.attempts = attempts
    self.cause = cause
  }
}
