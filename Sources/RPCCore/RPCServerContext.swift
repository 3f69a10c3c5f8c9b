public import TransportCore

/// What a handler knows of its call beside the message.
///
/// A call is cancelled by cancelling the handler's task: when its deadline has passed, when its
/// connection is lost and when the server is closed. `Task.isCancelled` and
/// `withTaskCancellationHandler` tell of it.
public struct RPCServerContext: Sendable {
  public let method: RPCMethod
  /// Who calls, as far as the transport could prove it.
  public let peer: PeerIdentity
  public var metadata: RPCMetadata
  /// How long the caller waits, from the arrival of the request. `nil`: as long as it takes.
  public let timeout: Duration?
  /// When the caller gives up.
  public let deadline: ContinuousClock.Instant?

  public init(
    method: RPCMethod, peer: PeerIdentity = PeerIdentity(), metadata: RPCMetadata = [:],
    timeout: Duration? = nil
  ) {
    self.method = method
    self.peer = peer
    self.metadata = metadata
    self.timeout = timeout
    deadline = timeout.map { ContinuousClock.now + $0 }
  }
}
