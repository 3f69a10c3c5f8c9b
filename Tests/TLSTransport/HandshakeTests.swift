import TLSTransport
import Testing
import TransportCore

@Suite struct HandshakeTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var version: TLSIdentity.Version
    var clientCertificates: TLSConfiguration.ClientCertificates
    var protocols: [String]

    var testDescription: String {
      "TLS \(version.rawValue), client certificate \(clientCertificates.rawValue), ALPN \(protocols)"
    }

    static let all = TLSIdentity.Version.allCases.flatMap { version in
      [TLSConfiguration.ClientCertificates.required, .optional, .none].flatMap { wanted in
        [[], ["h2"], ["ttrpc", "h2"]].map {
          Case(version: version, clientCertificates: wanted, protocols: $0)
        }
      }
    }
  }

  @Test(
    "Every version, kind of client certificate and protocol list connects and echoes",
    arguments: Case.all)
  func combinations(_ one: Case) async throws {
    let pki = try TestPKI()
    let server = pki.server {
      ($0.minimumVersion, $0.maximumVersion) = (one.version, one.version)
      $0.clientCertificates = one.clientCertificates
      if one.clientCertificates == .none { $0.authority = nil }
      $0.applicationProtocols = one.protocols
      $0.requiresApplicationProtocol = !one.protocols.isEmpty
    }
    let client = pki.client { $0.applicationProtocols = one.protocols.reversed() }
    try await withServer(pki, server) { listener in
      let connection = try await connect(pki, client)
      let text = try await connection.echo("hello")
      #expect(text == "hello")
      let tls = try #require(connection.tls)
      #expect(tls.version == one.version)
      #expect(tls.alpn == one.protocols.first)
      #expect(tls.isVerified)
      #expect(!tls.isResumed)
      #expect(tls.dnsNames == ["build-7.example"])
      #expect(tls.chain.first?.subject == "CN=server")
      #expect(tls.chain.first?.issuer == "CN=test CA")
      #expect(tls.cipher.hasPrefix("TLS_"))
      #expect(connection.connection.peer.unix != nil)
      #expect(connection.connection.timings.map(\.phase) == [.connect, .tls, .identity])
      await connection.close()
      #expect(listener.statistics.accepted == 1)
    }
  }
}
