public import NIOCore

/// The connectors of a process, by the transport that they dial.
public struct ConnectorRegistry: Sendable {
  private var connectors: [String: any Connector] = [:]

  public init(_ connectors: [any Connector] = []) {
    for connector in connectors { register(connector) }
  }

  /// Adds a connector; one of the same transport that is there already gives way.
  public mutating func register(_ connector: any Connector) {
    connectors[connector.transport] = connector
  }

  /// The names of the registered transports, sorted.
  public var transports: [String] { connectors.keys.sorted() }

  /// Reads an address of the strict grammar, in which the registered transports that are not the
  /// grammar's own are known, too.
  ///
  /// - Throws: ``TransportError``, as ``TransportAddress/init(parsing:origin:customTransports:)``.
  public func parse(
    _ text: String, origin: TransportAddress.Origin = .configured
  ) throws(TransportError) -> TransportAddress {
    let known = Set(connectors.keys).subtracting(AddressNames.all)
    return try TransportAddress(parsing: text, origin: origin, customTransports: known)
  }

  /// The connector that dials an address.
  ///
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/noConnector``, which names
  ///   those that are registered.
  public func connector(
    for address: TransportAddress
  ) throws(TransportError) -> any Connector {
    if let layer = address.layers.first { throw missing("layer", layer, in: address) }
    guard let connector = connectors[address.transport] else {
      throw missing("transport", address.transport, in: address)
    }
    return connector
  }

  /// Connects with the connector that dials the address: ``Connector/connect(to:options:configure:)``.
  public func connect(
    to address: TransportAddress, options: ConnectOptions = ConnectOptions(),
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(TransportError) -> Connection {
    try await connector(for: address).connect(to: address, options: options, configure: configure)
  }

  private func missing(
    _ kind: String, _ name: String, in address: TransportAddress
  ) -> TransportError {
    let list = transports.isEmpty ? "none is registered" : transports.joined(separator: ", ")
    return TransportError(
      code: .noConnector,
      message: "cannot connect to \(address): there is no connector for the \(kind) \"\(name)\"; "
        + "registered are: \(list)",
      hint: "register one with the ConnectorRegistry, or use another address")
  }
}
