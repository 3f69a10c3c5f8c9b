import Hawsepipe
import RPCCore
import TLSTransport
import TTRPC
import TransportCore

#if GRPC
  import GRPCTransport
#endif

enum Transports {
  /// The protocols that this program speaks. Without gRPC, dialling an address that names it says how
  /// to have it.
  static var dialers: RPCDialers {
    var dialers = RPCDialers([TTRPCDialer()])
    #if GRPC
      dialers.register(GRPCDialer())
    #endif
    return dialers
  }

  /// All transports of the umbrella; an executable adds what the umbrella leaves out.
  static let registry = TransportRegistry.standard

  /// The same, with TLS of its own: by a profile, or else as addresses say alone.
  static func registry(
    tlsProfile: String?
  ) throws(TransportError) -> (registry: TransportRegistry, tls: TLSLayer) {
    var registry = registry
    let tls: TLSLayer
    if let tlsProfile { tls = try TLSLayer(profile: tlsProfile) } else { tls = TLSLayer() }
    registry.register(tls)
    return (registry, tls)
  }
}
