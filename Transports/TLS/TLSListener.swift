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
  private let report: AcceptReport
  private let counts = Mutex(ListenerStatistics())
  private let handshakes = Mutex(0)

  init(
    inner: any Listener, address: TransportAddress, options: ListenOptions,
    credentials: TLSCredentials
  ) {
    self.inner = inner
    self.options = options
    self.credentials = credentials
    // What the system chose is the inner listener's to know, the rest is as it was asked for.
    var bound = address
    bound.place = inner.boundAddress.place
    boundAddress = bound
    report = AcceptReport(
      address: bound, logger: options.logger ?? Logger(label: "hawsepipe.tls.listener"),
      observer: options.observer)
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
    do {
      let configuration = credentials.configuration
      let engine = try TLSEngine(credentials.context, expecting: configuration.peerNames)
      let limit = TimeAmount(min(options.handshakeLimit, .seconds(3600)))
      try TLSHandler.add(engine, limit, to: channel).whenComplete { result in
        self.endHandshake()
        // Here and not in its task: a client that has an answer finds itself counted.
        if case .success = result { self.counts.withLock { $0.accepted += 1 } }
      }
    } catch {
      endHandshake()
      throw error
    }
    try configure(channel)
  }

  private func endHandshake() { handshakes.withLock { $0 -= 1 } }

  // MARK: In the connection's child task

  private func serve(
    _ connection: Connection, _ policy: PeerPolicy,
    _ onConnection: @Sendable (Connection) async -> Void
  ) async {
    do throws(AttemptFailure) {
      let admitted = try await TLSHandler.admit(connection, at: boundAddress, policy: policy)
      await onConnection(admitted)
    } catch {
      await turnAway(error, connection)
    }
  }

  private func turnAway(_ failure: AttemptFailure, _ connection: Connection) async {
    guard !Task.isCancelled else { return }
    var failure = failure
    failure.peer = failure.peer ?? connection.peer
    let isRefused =
      switch (failure.cause as? TLSError)?.code {
      case .certificateRefused, .wrongName: true
      default: failure.isRefusal
      }
    if isRefused {
      counts.withLock { $0.refused += 1 }
      report.refused(failure)
    } else {
      counts.withLock { $0.failed += 1 }
      report.failed(failure, level: .warning)
    }
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
