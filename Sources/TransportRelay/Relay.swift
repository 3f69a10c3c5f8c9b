internal import Logging
internal import NIOCore
internal import Synchronization
public import TransportCore

/// Accepts at a listener and bridges each connection with one that it dials: see ``Bridge``.
///
/// A far side that cannot be dialled costs only the connection that it was dialled for, which is
/// closed, counted and logged with both addresses.
///
/// At ``RelayOptions/maxConnections`` accepting stops until a bridge has ended: further peers wait in
/// the kernel's backlog (and beyond it, as its transport has it: connect(2) blocks or fails). Those
/// that were accepted in the meantime wait, unread.
public final class Relay: Sendable {
  private let listener: any Listener
  private let address: TransportAddress
  private let connector: any Connector
  private let bridge: Bridge
  private let slots: ConnectionSlots
  private let admitted = Atomic(0)

  /// - Parameter listener: where the near sides connect; this relay's from here on.
  /// - Throws: ``TransportError`` when nothing in the registry dials the address, or an option is
  ///   none that a relay can keep to; the listener is still the caller's then.
  public init(
    from listener: any Listener, to address: TransportAddress, registry: TransportRegistry,
    options: RelayOptions = RelayOptions()
  ) throws(TransportError) {
    self.bridge = try Bridge(options: options)
    self.connector = try registry.connector(for: address)
    self.listener = listener
    self.address = address
    self.slots = ConnectionSlots(options.maxConnections)
  }

  /// The address actually listened at.
  public var boundAddress: TransportAddress { listener.boundAddress }

  /// What has happened so far; readable at any time, also behind the end.
  public var statistics: RelayStatistics {
    var statistics = bridge.statistics
    statistics.refused = listener.statistics.refused
    return statistics
  }

  /// Accepts and bridges until ``stopAccepting()``, and then until the last bridge has ended.
  /// Cancellation closes all of them at once.
  ///
  /// - Throws: ``TransportError``, as ``Listener/run(policy:configure:onConnection:)``.
  public func run() async throws(TransportError) {
    let bridge = bridge
    try await listener.run(policy: bridge.options.policy) { channel in
      try bridge.prepare(channel)
      self.admit(channel)
    } onConnection: { connection in
      await self.serve(connection)
    }
  }

  /// Ends accepting; bridges go on until they end by themselves.
  public func stopAccepting() { listener.close() }

  private func serve(_ connection: Connection) async {
    guard await slots.take() else { return }
    defer { slots.giveBack() }
    let logger = bridge.options.logger
    do throws(TransportError) {
      let ending = try await bridge.run(connection, to: address, through: connector)
      if let cause = ending.cause {
        logger.debug("A bridge broke", metadata: metadata(connection, "\(cause)"))
      }
    } catch {
      // Dialling is cancelled with its peer or with all of us: nothing failed.
      guard error.code != .cancelled else { return }
      logger.warning("Cannot dial for a connection", metadata: metadata(connection, "\(error)"))
    }
  }

  private func metadata(_ near: Connection, _ reason: String) -> Logger.Metadata {
    [
      "from": "\(near.address)", "peer": "\(near.peer)", "to": "\(address)", "reason": "\(reason)",
    ]
  }

  // MARK: The limit

  /// On the connection's event loop.
  private func admit(_ channel: any Channel) {
    let count = admitted.wrappingAdd(1, ordering: .relaxed).newValue
    let server = channel.parent
    channel.closeFuture.whenComplete { _ in
      let count = self.admitted.wrappingSubtract(1, ordering: .relaxed).newValue
      if count == self.bridge.options.maxConnections - 1 { self.setAccepting(server) }
    }
    if count >= bridge.options.maxConnections { setAccepting(server) }
  }

  /// Decides on the listening socket's own loop, so that the last decision is by the last count.
  private func setAccepting(_ server: (any Channel)?) {
    guard let server else { return }
    server.eventLoop.execute {
      let isFree = self.admitted.load(ordering: .relaxed) < self.bridge.options.maxConnections
      // A listener that is closed accepts nothing anyway.
      try? server.syncOptions?.setOption(.autoRead, value: isFree)
    }
  }
}
