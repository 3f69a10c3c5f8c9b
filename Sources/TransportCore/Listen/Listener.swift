public import NIOCore

/// Takes connections at one address.
///
/// From the moment it exists it is bound and listening: peers may connect and wait in the backlog
/// until ``run(policy:configure:onConnection:)`` accepts them.
public protocol Listener: Sendable {
  /// The address actually bound, with what the system chose filled in.
  var boundAddress: TransportAddress { get }

  /// What has happened so far.
  var statistics: ListenerStatistics { get }

  /// Accepts connections until the calling task is cancelled, each in a child task of its own.
  ///
  /// A connection is closed when its `onConnection` returns. Cancellation stops accepting at once,
  /// cancels the child tasks, closes their connections and returns when all of them have ended. A
  /// peer that the policy refuses is logged, counted and closed before a byte of it is read. A lack
  /// of descriptors or memory is logged, counted and waited out.
  ///
  /// - Parameters:
  ///   - policy: who may connect. `nil`: the transport's own default, which is closed.
  ///   - configure: adds the protocol's handlers, on the channel's event loop, before a byte can
  ///     have been read.
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/listenFailed`` when the
  ///   listener ran or was closed before, or its socket failed.
  func run(
    policy: PeerPolicy?, configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError)

  /// Stops listening, and cleans up what the listener left in the file system. A
  /// ``run(policy:configure:onConnection:)`` that is under way accepts no more and returns when its
  /// connections have ended. Does nothing when called again.
  func close()
}

extension Listener {
  /// ``run(policy:configure:onConnection:)`` with the transport's default policy.
  public func run(
    configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError) {
    try await run(policy: nil, configure: configure, onConnection: onConnection)
  }
}

/// What a listener counted.
public struct ListenerStatistics: Sendable, Hashable {
  /// Connections handed to `onConnection`.
  public var accepted = 0
  /// Peers that the policy did not let in.
  public var refused = 0
  /// Connections that failed before they could be handed over.
  public var failed = 0
  /// Times that accepting itself failed, for want of descriptors or memory.
  public var acceptErrors = 0

  public init() {}
}
