public import NIOCore

#if canImport(Glibc)
  internal import Glibc
#endif

extension Connector {
  /// Connects: tries once or until the peer is ready, as `options` say.
  ///
  /// Every try is ended when it takes longer than ``ConnectOptions/tryLimit``, all of them together
  /// when they take longer than ``ConnectOptions/timeout``, and at once when the calling task is
  /// cancelled. With ``ConnectOptions/Mode/waitUntilReady(_:)`` a try that failed because the peer
  /// was not there or this side lacked something is made again; one that must fail again is not.
  ///
  /// - Parameter configure: adds the protocol's handlers, on the channel's event loop, before a byte
  ///   can have been read. It may run once a try.
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/connectFailed``,
  ///   ``TransportError/Code-swift.enum/timedOut``, ``TransportError/Code-swift.enum/cancelled`` or
  ///   ``TransportError/Code-swift.enum/refusedByPolicy``, and all tries in
  ///   ``TransportError/attempts``.
  public func connect(
    to address: TransportAddress, options: ConnectOptions = ConnectOptions(),
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(TransportError) -> Connection {
    let loop = RetryLoop(address, options)
    let traffic = loop.report.traffic
    let (connection, attempts) = try await loop.run { (_) async throws(AttemptFailure) in
      guard let traffic else {
        return try await attempt(address, options: options, configure: configure)
      }
      return try await attempt(address, options: options) { channel in
        try traffic.follow(channel)
        try configure(channel)
      }
    }
    loop.report.connected(connection, attempts: attempts, traffic)
    return connection
  }
}

extension AttemptFailure {
  /// What a try throws when its task was cancelled, saying where it was.
  public static func cancelled(during phase: ConnectPhase) -> AttemptFailure {
    AttemptFailure(phase: phase, errno: ECANCELED, message: "cancelled", outlook: .notReady)
  }

  /// What a try throws when the peer is not one that may be talked to.
  public static func refused(_ peer: PeerIdentity, by policy: PeerPolicy) -> AttemptFailure {
    let message = "the peer (\(peer)) is not allowed by the policy \"\(policy.name)\""
    return AttemptFailure(
      phase: .identity, message: message, outlook: .fatal, peer: peer,
      cause: TransportError(code: .refusedByPolicy, message: message))
  }

  /// Whether a policy refused the peer.
  public var isRefusal: Bool { (cause as? TransportError)?.code == .refusedByPolicy }
}
