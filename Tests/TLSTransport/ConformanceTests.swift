import TLSTransport
import Testing
import TransportConformance
import TransportCore
import UnixTransport

@Suite struct ConformanceTests {
  private static let pki: Result<TestPKI, any Error> = Result { try TestPKI() }

  /// TLS over unix sockets, with certificates on both sides.
  private static func subject() throws -> ConformanceSubject {
    let pki = try pki.get()
    var registry = TransportRegistry([UnixConnector()])
    registry.register(UnixListenerFactory())
    registry.register(TLSLayer(client: pki.client(), server: pki.server()))
    return ConformanceSubject(
      name: "tls+unix", registry: registry,
      peer: .listener {
        let name = "hawsepipe-tls-\(UInt64.random(in: 0...UInt64.max))"
        return TransportAddress(layers: ["tls"], place: .abstract(name: name))
      }
    ) {
      $0.phases = [.connect, .tls, .identity]
      $0.identifiesListener = { $0.tls?.dnsNames == ["build-7.example"] && $0.unix != nil }
      $0.identifiesDialer = { $0.tls?.uris == ["spiffe://example.org/client"] && $0.unix != nil }
    }
  }

  private static func checks() -> [ConformanceCheck] {
    // Without a CA there is nothing to check, which the one check below says.
    (try? subject()).map { ConformanceCheck.all(for: $0) } ?? []
  }

  @Test("TLS over unix sockets conforms", arguments: checks())
  func conforms(_ check: ConformanceCheck) async throws {
    try await check.run(against: try Self.subject())
  }

  @Test("There are checks to run")
  func any() throws { #expect(!ConformanceCheck.all(for: try Self.subject()).isEmpty) }
}
