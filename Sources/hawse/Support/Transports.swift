import Hawsepipe
import TransportCore

enum Transports {
  /// All transports of the umbrella; an executable adds what the umbrella leaves out.
  static let registry = {
    var registry = TransportRegistry.standard
    registry.register(TemporaryUnixListenerFactory())
    return registry
  }()
}
