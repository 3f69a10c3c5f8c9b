public import NIOCore

/// The transports and layers of a process, by their names in addresses: what dials them and what
/// listens at them.
public struct TransportRegistry: Sendable {
  private var connectors: [String: any Connector] = [:]
  private var factories: [String: any ListenerFactory] = [:]
  private var layers: [String: any TransportLayer] = [:]

  public init(_ connectors: [any Connector] = []) {
    for connector in connectors { register(connector) }
  }

  /// Adds a connector; one of the same transport that is there already gives way.
  public mutating func register(_ connector: any Connector) {
    connectors[connector.transport] = connector
  }

  /// Adds what listens; one of the same transport that is there already gives way.
  public mutating func register(_ factory: any ListenerFactory) {
    factories[factory.transport] = factory
  }

  /// Adds a layer; one of the same name that is there already gives way.
  public mutating func register(_ layer: any TransportLayer) {
    layers[layer.name] = layer
  }

  /// The names of the transports that can be dialled, sorted.
  public var transports: [String] { connectors.keys.sorted() }

  /// The names of the transports that can be listened at, sorted.
  public var listeningTransports: [String] { factories.keys.sorted() }

  /// The names of the layers, sorted.
  public var layerNames: [String] { layers.keys.sorted() }

  /// Reads an address of the strict grammar, in which the registered transports and layers that are
  /// not the grammar's own are known, too.
  ///
  /// - Throws: ``TransportError``, as ``TransportAddress/init(parsing:origin:customTransports:)``.
  public func parse(
    _ text: String, origin: TransportAddress.Origin = .configured
  ) throws(TransportError) -> TransportAddress {
    let known = Set(connectors.keys).union(factories.keys).union(layers.keys)
      .subtracting(AddressNames.all)
    return try TransportAddress(parsing: text, origin: origin, customTransports: known)
  }

  // MARK: Dialling

  /// The connector that dials an address: the place's, in the address's layers.
  ///
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/noConnector``, which names
  ///   those that are registered, or ``TransportError/Code-swift.enum/invalidAddress`` for a
  ///   parameter that neither the transport nor a layer understands.
  public func connector(
    for address: TransportAddress
  ) throws(TransportError) -> any Connector {
    guard var connector = connectors[address.transport] else {
      throw missing(.connector, "transport", address.transport, transports, in: address)
    }
    let layers = try layers(of: address, for: .connector)
    try check(address, understood: layers.reduce(connector.parameters) { $0.union($1.parameters) })
    for layer in layers.reversed() { connector = layer.connector(over: connector) }
    return connector
  }

  /// Connects with the connector that dials the address: ``Connector/connect(to:options:configure:)``.
  public func connect(
    to address: TransportAddress, options: ConnectOptions = ConnectOptions(),
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(TransportError) -> Connection {
    try await connector(for: address).connect(to: address, options: options, configure: configure)
  }

  // MARK: Listening

  /// Listens at an address: the place's listener, in the address's layers.
  ///
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/listenFailed``,
  ///   ``TransportError/Code-swift.enum/noConnector`` or
  ///   ``TransportError/Code-swift.enum/invalidAddress``. Nothing listens then.
  public func listen(
    at address: TransportAddress, options: ListenOptions = ListenOptions()
  ) async throws(TransportError) -> any Listener {
    guard let factory = factories[address.transport] else {
      throw missing(.listener, "transport", address.transport, listeningTransports, in: address)
    }
    let layers = try layers(of: address, for: .listener)
    try check(address, understood: layers.reduce(factory.parameters) { $0.union($1.parameters) })
    // The address, and what is left of it behind each layer.
    var places = [address]
    for _ in layers { places.append(places[places.count - 1].inner) }
    // What a layer lacks (a certificate, say) is found out before anything is bound.
    for (layer, place) in zip(layers, places) { try await layer.checkListening(at: place) }
    var innermost = options
    if layers.contains(where: \.isSecure) { innermost.plaintext = .secured }
    var listener = try await factory.listen(at: places[layers.count], options: innermost)
    for (layer, place) in zip(layers, places).reversed() {
      do throws(TransportError) {
        listener = try await layer.listener(over: listener, at: place, options: options)
      } catch {
        listener.close()
        throw error
      }
    }
    // One report for all layers, of what comes out of the outermost.
    return listener.observed(logger: options.logger, observer: options.observer)
  }

  // MARK: Errors

  private enum Role: String { case connector, listener }

  private func layers(
    of address: TransportAddress, for role: Role
  ) throws(TransportError) -> [any TransportLayer] {
    var found: [any TransportLayer] = []
    for name in address.layers {
      guard let layer = layers[name] else {
        throw missing(role, "layer", name, layerNames, in: address)
      }
      found.append(layer)
    }
    return found
  }

  private func check(
    _ address: TransportAddress, understood: Set<String>
  ) throws(TransportError) {
    // These two are for whoever is behind the connection, not for the transport: a stream's name.
    let understood = understood.union(["streaming_id", "id"])
    guard let unknown = address.parameters.first(where: { !understood.contains($0.name) }) else {
      return
    }
    let list = understood.sorted().joined(separator: ", ")
    throw TransportError(
      code: .invalidAddress,
      message: "\(address) has the parameter \"\(unknown.name)\", which "
        + "\((address.layers + [address.transport]).joined(separator: "+")) does not understand",
      hint: Likeness.closest(to: unknown.name, among: understood.sorted())
        .map { "did you mean \($0)?" } ?? "it understands \(list)")
  }

  private func missing(
    _ role: Role, _ kind: String, _ name: String, _ registered: [String],
    in address: TransportAddress
  ) -> TransportError {
    let list =
      registered.isEmpty
      ? "none is registered" : "registered are: " + registered.joined(separator: ", ")
    let action = role == .listener ? "listen at" : "connect to"
    return TransportError(
      code: .noConnector,
      message:
        "cannot \(action) \(address): there is no \(role) for the \(kind) \"\(name)\"; \(list)",
      hint: "register one with the TransportRegistry, or use another address")
  }
}
