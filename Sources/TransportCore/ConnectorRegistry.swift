/// The connectors of a process, by the transport that they dial.
public struct ConnectorRegistry: Sendable {
  private var connectors: [String: any Connector] = [:]

  public init(_ connectors: [any Connector] = []) {
    for connector in connectors { self.connectors[connector.transport] = connector }
  }
}
