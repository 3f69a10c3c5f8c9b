internal import Logging
internal import NIOCore
internal import Synchronization
internal import TransportCore

/// Takes connections from another listener and speaks TLS over them.
///
/// The handshake is a connection's own child task's matter. How many may be in it at once is bounded,
/// since each costs far more than a connection that waits.
final class TLSListener: Listener {
  /// Handshakes at once; a peer that comes beyond them is hung up on.
  static let handshakeLimit = 512

  let boundAddress: TransportAddress
  private let inner: any Listener
  private let options: ListenOptions
  private let credentials: TLSCredentials
  private let logger: Logger
  private let counts = Mutex(ListenerStatistics())
  private let handshakes = Mutex(0)

  init(
    inner: any Listener, address: TransportAddress, options: ListenOptions,
    credentials: TLSCredentials
  ) {
    self.inner = inner
    self.options = options
    self.credentials = credentials
    logger = options.logger ?? Logger(label: "hawsepipe.tls.listener")
    // What the system chose is the inner listener's to know, the rest is as it was asked for.
    var bound = address
    bound.place = inner.boundAddress.place
    boundAddress = bound
  }

  var statistics: ListenerStatistics {
    var sum = counts.withLock { $0 }
    let below = inner.statistics
    sum.refused += below.refused
    sum.failed += below.failed
    sum.acceptErrors += below.acceptErrors
    return sum
  }

  func close() { inner.close() }

  func run(
    policy: PeerPolicy?, configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError) {
    // Without a policy of the caller's, the inner transport's own holds beneath the certificates'.
    let policyBelow = policy == nil ? nil : PeerPolicy.anyone
    let result = await withTaskGroup(of: Void.self) { group -> Result<Void, TransportError> in
      group.addTask { await self.keepCredentialsFresh() }
      defer { group.cancelAll() }
      do throws(TransportError) {
        try await inner.run(
          policy: policyBelow,
          configure: { channel in try self.setUp(channel, configure) },
          onConnection: { connection in
            await self.serve(connection, policy ?? self.defaultPolicy, onConnection)
          })
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    try result.get()
  }

  private var defaultPolicy: PeerPolicy {
    credentials.configuration.clientCertificates == .required ? .verifiedCertificate : .anyone
  }

  private func keepCredentialsFresh() async {
    while !Task.isCancelled {
      // Woken early only by a cancellation, which ends the loop.
      try? await Task.sleep(for: TLSCredentials.lookInterval)
      await credentials.refresh()
    }
  }

  // MARK: On the connection's event loop

  private func setUp(
    _ channel: any Channel, _ configure: @Sendable (any Channel) throws -> Void
  ) throws {
    let isAdmitted = handshakes.withLock { count in
      guard count < Self.handshakeLimit else { return false }
      count += 1
      return true
    }
    guard isAdmitted else {
      throw TLSError(
        .libraryFailed, "\(Self.handshakeLimit) TLS handshakes are under way, and no more are begun"
      )
    }
    let outcome = channel.eventLoop.makePromise(of: TLSHandler.Outcome.self)
    outcome.futureResult.whenComplete { _ in self.handshakes.withLock { $0 -= 1 } }
    do {
      let configuration = credentials.configuration
      let engine = try TLSEngine(credentials.context, expecting: configuration.peerNames)
      let handler = TLSHandler(
        engine, limit: TimeAmount(min(options.handshakeLimit, .seconds(3600))), outcome: outcome)
      try channel.pipeline.syncOperations.addHandlers([handler, ConnectionGate()])
      try configure(channel)
    } catch {
      outcome.fail(error)
      throw error
    }
  }

  // MARK: In the connection's child task

  private func serve(
    _ connection: Connection, _ policy: PeerPolicy,
    _ onConnection: @Sendable (Connection) async -> Void
  ) async {
    do throws(AttemptFailure) {
      let admitted = try await admit(connection, policy)
      counts.withLock { $0.accepted += 1 }
      await onConnection(admitted)
    } catch {
      await report(error, connection)
    }
  }

  private func admit(
    _ connection: Connection, _ policy: PeerPolicy
  ) async throws(AttemptFailure) -> Connection {
    let outcome = try await TLSHandler.outcome(on: connection.channel)
    let began = ContinuousClock.now
    var peer = connection.peer
    peer.tls = outcome.identity
    guard policy.allows(peer) else { throw .refused(peer, by: policy) }
    let timings =
      connection.timings + [
        PhaseTiming(.tls, outcome.duration), PhaseTiming(.identity, ContinuousClock.now - began),
      ]
    try await TLSHandler.open(connection.channel)
    return Connection(
      channel: connection.channel, address: boundAddress, peer: peer, timings: timings)
  }

  private func report(_ failure: AttemptFailure, _ connection: Connection) async {
    guard !Task.isCancelled else { return }
    let metadata: Logger.Metadata = [
      "address": "\(boundAddress)", "peer": "\(connection.peer)", "reason": "\(failure.message)",
    ]
    switch (failure.phase, (failure.cause as? TLSError)?.code) {
    case (.identity, _), (_, .certificateRefused?), (_, .wrongName?):
      counts.withLock { $0.refused += 1 }
      logger.warning("Refused a connection", metadata: metadata)
    default:
      counts.withLock { $0.failed += 1 }
      logger.warning("A TLS handshake failed", metadata: metadata)
    }
    guard failure.phase == .tls else { return }
    // The handler closes it, when the peer has had a moment to read why.
    do {
      try await withTaskCancellationHandler {
        try await connection.channel.closeFuture.get()
      } onCancel: {
        connection.channel.close(promise: nil)
      }
    } catch {
      // Closed with an error is closed.
    }
  }
}
