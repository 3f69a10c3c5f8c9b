internal import ContainerdClient
public import Logging
public import RPCCore
internal import Synchronization
public import TransportCore

/// Sandboxes that are there already, at an address: a virtual machine's agent, say.
///
/// A peer that serves the Sandbox API is asked to create, start and stop. One that does not is a
/// sandbox by being there, and ends when its connection does and no new one comes about.
public struct RemoteDriver: SandboxDriver {
  public let name: String
  let configuration: Configuration
  let registry: TransportRegistry
  let dialers: RPCDialers
  let limits: ControlLimits
  let logger: Logger
  private let absences = Absences()

  public init(
    name: String, _ configuration: Configuration, registry: TransportRegistry,
    dialers: RPCDialers, limits: ControlLimits = ControlLimits(),
    logger: Logger = Logger(label: "hawsepipe.control.remote")
  ) {
    self.name = name
    self.configuration = configuration
    self.registry = registry
    self.dialers = dialers
    self.limits = limits
    self.logger = logger
  }

  /// Since when sandboxes are out of reach.
  private final class Absences: Sendable {
    private let since = Mutex<[SandboxName: ContinuousClock.Instant]>([:])

    /// - Returns: for how long by now.
    func note(_ name: SandboxName) -> Duration {
      since.withLock { since in
        let now = ContinuousClock.now
        if let first = since[name] { return now - first }
        since[name] = now
        return .zero
      }
    }

    func forget(_ name: SandboxName) { since.withLock { $0[name] = nil } }
  }

  private func endpoint(_ order: SandboxOrder) throws(SandboxControlError) -> RemoteEndpoint {
    try RemoteEndpoint(order, configuration, driver: name, registry: registry)
  }

  private func dial(
    _ order: SandboxOrder, _ endpoint: RemoteEndpoint, _ options: ConnectOptions
  ) async throws(TransportError) -> SandboxPeer {
    let line = try await dialers.dial(endpoint.address, using: registry, options: options)
    return SandboxPeer(
      name: order.name, subject: "\(endpoint.address)", line: line, limits: limits)
  }

  // MARK: Creating

  public func create(
    _ order: SandboxOrder
  ) async throws(SandboxControlError) -> any DrivenSandbox {
    let endpoint = try endpoint(order)
    let deadline = ContinuousClock.now + configuration.ready
    while true {
      let left = deadline - .now
      let peer: SandboxPeer
      do throws(TransportError) {
        peer = try await dial(
          order, endpoint,
          ConnectOptions(
            timeout: max(left, .milliseconds(1)), tryLimit: limits.load, mode: .waitUntilReady()))
      } catch {
        throw SandboxControlError(
          code: error.code == .timedOut ? .timedOut : .unreachable,
          message: "sandbox \(order.name) is not ready at \(endpoint.address)", cause: error)
      }
      do throws(SandboxControlError) {
        return try await prepare(peer, order, endpoint)
      } catch {
        await peer.line.connection.close()
        // One that boots may listen before it serves.
        let isEarly = error.code == .unreachable || error.code == .timedOut
        guard isEarly, ContinuousClock.now < deadline else { throw error }
      }
      // The wait is bounded by the deadline; cancelled, the next dial says so.
      try? await Task.sleep(for: .milliseconds(50))
    }
  }

  private func prepare(
    _ peer: SandboxPeer, _ order: SandboxOrder, _ endpoint: RemoteEndpoint
  ) async throws(SandboxControlError) -> any DrivenSandbox {
    switch configuration.probe {
    case .transport: break
    case .ping: try await peer.pingProtocol()
    case .status: try await probeStatus(peer)
    }
    var servesSandboxes = true
    do throws(SandboxControlError) {
      let bundle = configuration.bundle
        .replacing("{id}", with: order.name.id)
        .replacing("{namespace}", with: order.name.namespace)
      try await peer.create(order, bundle: bundle)
    } catch {
      guard error.code == .unsupported, configuration.probe != .status else { throw error }
      servesSandboxes = false
    }
    return RemoteSandbox(peer: peer, endpoint: endpoint, servesSandboxes: servesSandboxes)
  }

  private func probeStatus(_ peer: SandboxPeer) async throws(SandboxControlError) {
    do throws(SandboxControlError) {
      _ = try await peer.status(verbose: false)
    } catch {
      // It serves the API, and has no such sandbox yet.
      guard error.code == .sandboxNotFound else { throw error }
    }
  }

  // MARK: Finding again

  public func restore(
    _ order: SandboxOrder, instance: SandboxInstance?
  ) async throws(SandboxControlError) -> (any DrivenSandbox)? {
    let endpoint = try endpoint(order)
    let peer: SandboxPeer
    do throws(TransportError) {
      peer = try await dial(
        order, endpoint, ConnectOptions(timeout: limits.load, tryLimit: limits.load))
    } catch {
      let away = absences.note(order.name)
      if Self.provesEnd(error) || configuration.goneAfter.map({ away >= $0 }) ?? false {
        absences.forget(order.name)
        return nil
      }
      throw SandboxControlError(
        code: .unreachable,
        message: "sandbox \(order.name) cannot be reached at "
          + "\(endpoint.address)", cause: error)
    }
    do throws(SandboxControlError) {
      let servesSandboxes = try await stillThere(peer)
      absences.forget(order.name)
      guard let servesSandboxes else {
        await peer.line.connection.close()
        return nil
      }
      return RemoteSandbox(peer: peer, endpoint: endpoint, servesSandboxes: servesSandboxes)
    } catch {
      await peer.line.connection.close()
      if let limit = configuration.goneAfter, absences.note(order.name) >= limit {
        absences.forget(order.name)
        return nil
      }
      throw error
    }
  }

  /// - Returns: whether it serves the Sandbox API; nil when it does and does not know the sandbox.
  private func stillThere(_ peer: SandboxPeer) async throws(SandboxControlError) -> Bool? {
    do throws(SandboxControlError) {
      _ = try await peer.status(verbose: false)
      return true
    } catch {
      switch error.code {
      case .unsupported: return false
      case .sandboxNotFound: return nil
      default: throw error
      }
    }
  }

  /// Nobody listens there: a time-out would not prove it.
  static func provesEnd(_ error: TransportError) -> Bool {
    guard let last = error.attempts.last?.failure, last.phase == .connect else { return false }
    return last.errno == 111 /* ECONNREFUSED */ || last.errno == 2 /* ENOENT */
  }

  public func remove(_ order: SandboxOrder) async throws(SandboxControlError) {
    absences.forget(order.name)
    let endpoint = try endpoint(order)
    let peer: SandboxPeer
    do throws(TransportError) {
      peer = try await dial(
        order, endpoint, ConnectOptions(timeout: limits.state, tryLimit: limits.state))
    } catch {
      // Out of reach: nothing of it is on this side.
      logger.info(
        "a sandbox is given up without its peer",
        metadata: ["sandbox": "\(order.name)", "error": "\(error)"])
      return
    }
    do throws(SandboxControlError) {
      try await peer.shutdown()
    } catch {
      await peer.line.connection.close()
      guard error.meansGone || error.code == .unsupported || error.code == .timedOut else {
        throw error
      }
      return
    }
    await peer.line.connection.close()
  }
}
