internal import NIOCore

extension Connector {
  /// Waits until a peer is ready: connects, probes and closes until that succeeds.
  ///
  /// Limits, pauses and which failures are final are those of
  /// ``connect(to:options:configure:)``; the limit of a try is for connecting and probing together.
  /// With ``ConnectOptions/Mode/failFast`` there is one try.
  ///
  /// - Throws: ``TransportError``, as ``connect(to:options:configure:)``. A failed probe is an
  ///   attempt in the phase ``ConnectPhase/probe``.
  public func waitUntilReady(
    at address: TransportAddress, probe: ReadinessProbe = .transport,
    options: ConnectOptions = ConnectOptions(timeout: .seconds(60), mode: .waitUntilReady())
  ) async throws(TransportError) -> Readiness {
    let began = ContinuousClock.now
    let loop = RetryLoop(address, options)
    let (result, attempts) = try await loop.run { (_) async throws(AttemptFailure) in
      try await self.probe(address, probe, options)
    }
    let readiness = Readiness(
      peer: result.peer, timings: result.timings, attempts: attempts,
      waited: ContinuousClock.now - began)
    loop.report.ready(readiness)
    return readiness
  }

  private func probe(
    _ address: TransportAddress, _ probe: ReadinessProbe, _ options: ConnectOptions
  ) async throws(AttemptFailure) -> (peer: PeerIdentity, timings: [PhaseTiming]) {
    let probing = probe.makeTry()
    let connection = try await attempt(address, options: options, configure: probing.configure)
    let began = ContinuousClock.now
    // Not waited for: a peer that does not answer must not hold the next try up.
    defer { connection.channel.close(promise: nil) }
    do {
      try await withTaskCancellationHandler {
        try await probing.check(connection)
      } onCancel: {
        // A probe that waits for the peer, and not for its task's cancellation, ends with this.
        connection.channel.close(promise: nil)
      }
    } catch {
      throw .probe(probe, failed: error)
    }
    let timing = PhaseTiming(.probe, ContinuousClock.now - began)
    return (connection.peer, connection.timings + [timing])
  }
}

extension AttemptFailure {
  fileprivate static func probe(_ probe: ReadinessProbe, failed error: any Error) -> AttemptFailure
  {
    if Task.isCancelled { return .cancelled(during: .probe) }
    if let failure = error as? AttemptFailure { return failure }
    let isRefusal = (error as? TransportError)?.code == .refusedByPolicy
    return AttemptFailure(
      phase: .probe, message: "the probe \"\(probe.name)\" failed: \(error)",
      outlook: isRefusal ? .fatal : .notReady, cause: error)
  }
}

extension TransportRegistry {
  /// Waits until the peer at an address is ready, with the connector that dials it:
  /// ``Connector/waitUntilReady(at:probe:options:)``.
  public func waitUntilReady(
    at address: TransportAddress, probe: ReadinessProbe = .transport,
    options: ConnectOptions = ConnectOptions(timeout: .seconds(60), mode: .waitUntilReady())
  ) async throws(TransportError) -> Readiness {
    try await connector(for: address).waitUntilReady(at: address, probe: probe, options: options)
  }
}
