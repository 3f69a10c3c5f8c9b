import TransportConformance
import TransportCore
import UnixTransport

extension ConformanceSubject {
  /// Unix sockets with abstract names, as every transport's tests would say it.
  static let unix = ConformanceSubject(
    name: "unix", registry: .unix,
    peer: .listener { TransportAddress(place: .abstract(name: uniqueName())) })
}

func uniqueName() -> String { "hawsepipe-conformance-\(UInt64.random(in: 0...UInt64.max))" }

extension TransportRegistry {
  static var unix: TransportRegistry {
    var registry = TransportRegistry([UnixConnector()])
    registry.register(UnixFactory())
    return registry
  }
}

struct UnixFactory: ListenerFactory {
  let transport = "unix"

  func listen(
    at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener {
    try UnixListener(
      bindingTo: address, options: .init(backlog: options.backlog, group: options.group))
  }
}
