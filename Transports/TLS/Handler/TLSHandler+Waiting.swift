internal import NIOCore
internal import TransportCore

/// What connectors and listeners do with a channel that has a ``TLSHandler`` and a
/// ``ConnectionGate`` behind it.
extension TLSHandler {
  /// Puts a handler and its gate into a new channel's pipeline, on its event loop.
  ///
  /// - Returns: what tells how the handshake went.
  @discardableResult
  static func add(
    _ engine: TLSEngine, _ limit: TimeAmount, to channel: any Channel,
    _ handshake: TLSHandshake? = nil
  ) throws -> EventLoopFuture<Outcome> {
    let outcome = channel.eventLoop.makePromise(of: Outcome.self)
    if let handshake { outcome.futureResult.whenComplete { handshake.settle($0) } }
    do {
      let gate = ConnectionGate()
      try channel.pipeline.syncOperations.addHandlers([
        TLSHandler(engine, gate: gate, limit: limit, outcome: outcome, handshake: handshake), gate,
      ])
      return outcome.futureResult
    } catch {
      // The channel is closed already.
      outcome.fail(error)
      throw error
    }
  }

  /// Begins the handshake, unless it has begun, and waits until it is through, the policy has let the
  /// peer in and the protocol has begun; a cancellation closes the channel.
  ///
  /// - Parameter handshake: the one that the channel's handler was given.
  /// - Returns: the connection as both layers know it.
  static func admit(
    _ connection: Connection, at address: TransportAddress, policy: PeerPolicy,
    _ handshake: TLSHandshake? = nil
  ) async throws(AttemptFailure) -> Connection {
    let channel = connection.channel
    let announced = handshake?.announcedPeer
    let result = await withTaskCancellationHandler {
      if announced != nil, let handshake { return await handshake.result() }
      return await outcome(on: channel, TLSAdmission(connection.peer, policy))
    } onCancel: {
      channel.close(promise: nil)
    }
    guard !Task.isCancelled else { throw .cancelled(during: .tls) }
    switch result {
    case .success(let outcome):
      var peer = connection.peer
      peer.tls = outcome.identity
      // Whoever wraps a transport may know more of the peer than its socket told.
      if let announced, announced != connection.peer, !policy.allows(peer) {
        throw .refused(peer, by: policy)
      }
      return Connection(
        channel: channel, address: address, peer: peer,
        timings: connection.timings.adding(outcome))
    case .failure(let failure as AttemptFailure): throw failure
    case .failure(let error as TLSError): throw AttemptFailure(error)
    case .failure(let error):
      throw AttemptFailure(
        phase: .tls, message: "the connection ended before the TLS handshake did: \(error)",
        outlook: .notReady, cause: error)
    }
  }

  private static func outcome(
    on channel: any Channel, _ admission: TLSAdmission
  ) async -> Result<Outcome, any Error> {
    do {
      return .success(
        try await channel.eventLoop.flatSubmit {
          do {
            let pipeline = channel.pipeline.syncOperations
            let handler = try pipeline.handler(type: TLSHandler.self)
            handler.begin(try pipeline.context(handler: handler), admitting: admission)
            return handler.outcome.futureResult
          } catch {
            // The pipeline is gone with its channel.
            return channel.eventLoop.makeFailedFuture(
              TLSError(.closedInHandshake, "the peer hung up before the TLS handshake"))
          }
        }.get())
    } catch {
      return .failure(error)
    }
  }
}

extension [PhaseTiming] {
  /// Who the peer is took both layers some time; a phase is listed once.
  fileprivate func adding(_ outcome: TLSHandler.Outcome) -> [PhaseTiming] {
    let before = filter { $0.phase == .identity }.reduce(Duration.zero) { $0 + $1.duration }
    return filter { $0.phase != .identity } + [
      PhaseTiming(.tls, outcome.duration), PhaseTiming(.identity, before + outcome.decision),
    ]
  }
}

extension Channel {
  /// Closes, and returns when the descriptor is gone.
  func closeAndWait() async {
    do {
      try await close().get()
    } catch {
      // It is closed already, or closing failed half way: its descriptor is gone either way.
    }
  }
}
