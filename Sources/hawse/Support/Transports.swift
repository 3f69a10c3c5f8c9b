import Hawsepipe
import TransportCore

enum Transports {
  /// All transports of the umbrella; an executable adds what the umbrella leaves out.
  static let registry = TransportRegistry.standard
}
