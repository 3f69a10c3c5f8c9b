public import TransportCore
internal import UnixTransport

extension ConnectorRegistry {
  /// Every transport that this package brings.
  public static var standard: ConnectorRegistry {
    ConnectorRegistry([UnixConnector()])
  }
}
