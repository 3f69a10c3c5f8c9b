public import TransportCore
internal import UnixTransport

extension TransportRegistry {
  /// Every transport that this package brings.
  public static var standard: TransportRegistry {
    TransportRegistry([UnixConnector()])
  }
}
