import ArgumentParser
import Foundation
import TLSTransport
import TransportCore

/// What every command takes that dials or listens, so that addresses name no files.
struct TLSFlags: ParsableArguments {
  static let variable = "HAWSE_TLS_PROFILE"

  @Option(
    help: ArgumentHelp(
      "The certificates, key and rules of TLS, for every tls address (default: \(variable)); see "
        + "\"hawse tls init\".", valueName: "file"))
  var tlsProfile: String?

  func registry() throws -> TransportRegistry { try transports().registry }

  /// The transports, and the one of their layers that has certificates to read again.
  func transports() throws -> (registry: TransportRegistry, tls: TLSLayer) {
    let inherited = ProcessInfo.processInfo.environment[Self.variable]
    let profile = tlsProfile ?? inherited.flatMap { $0.isEmpty ? nil : $0 }
    do {
      return try Transports.registry(tlsProfile: profile)
    } catch {
      guard tlsProfile == nil else { throw error }
      // Nothing on the command line says where it comes from.
      var explained = error
      explained.message += " (named by \(Self.variable))"
      throw explained
    }
  }
}
