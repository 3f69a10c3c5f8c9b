import Hawsepipe
import TLSTransport
import TransportCore

enum Transports {
  /// All transports of the umbrella; an executable adds what the umbrella leaves out.
  static let registry = TransportRegistry.standard

  /// The same, with the certificates of a profile for TLS.
  static func registry(tlsProfile: String?) throws(TransportError) -> TransportRegistry {
    var registry = registry
    if let tlsProfile { registry.register(try TLSLayer(profile: tlsProfile)) }
    return registry
  }
}
