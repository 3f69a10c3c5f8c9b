import TLSTransport
import Testing
import TransportCore

@Suite struct VerificationTests {
  private func refused(
    _ pki: TestPKI, _ server: TLSConfiguration, _ client: TLSConfiguration
  ) async throws -> TLSError {
    try await withServer(pki, server) { _ in
      try await refusal { try await connect(pki, client) }
    }
  }

  @Test("A server of an unknown CA is refused", arguments: TLSIdentity.Version.allCases)
  func unknownCA(_ version: TLSIdentity.Version) async throws {
    let pki = try TestPKI()
    try pki.issue("server", .server, [.dns("build-7.example")], by: PrivateAuthority())
    let error = try await refused(
      pki, pki.server { $0.clientCertificates = .optional },
      pki.client { $0.maximumVersion = version })
    #expect(error.code == .certificateRefused)
    #expect(error.message.contains("CN=server, signed by CN=hawsepipe private CA"))
    #expect(error.message.contains("unknown CA"))
    #expect(error.hint?.contains("ca=") == true)
  }

  @Test("An expired or future server is refused, with the date")
  func dates() async throws {
    let pki = try TestPKI()
    try pki.issue(
      "server", .server, [.dns("build-7.example")], validity: .init(from: -7200, until: -3600))
    let expired = try await refused(pki, pki.server(), pki.client())
    #expect(expired.code == .certificateRefused)
    #expect(expired.message.contains("expired on 20"))
    try pki.issue(
      "server", .server, [.dns("build-7.example")], validity: .init(from: 3600, until: 7200))
    let early = try await refused(pki, pki.server(), pki.client())
    #expect(early.message.contains("valid only from 20"))
  }

  struct NameCase: Sendable {
    var certificate: [TLSPeerName]
    var expected: [TLSPeerName]
    var isGood: Bool
  }

  static let names: [NameCase] = [
    NameCase(certificate: [.dns("a.example")], expected: [.dns("a.example")], isGood: true),
    NameCase(certificate: [.dns("a.example")], expected: [.dns("A.EXAMPLE")], isGood: true),
    NameCase(certificate: [.dns("a.example")], expected: [.dns("b.example")], isGood: false),
    NameCase(certificate: [.dns("*.b.example")], expected: [.dns("a.b.example")], isGood: true),
    NameCase(certificate: [.dns("*.b.example")], expected: [.dns("a.c.b.example")], isGood: false),
    NameCase(certificate: [.dns("10.0.0.7")], expected: [.ip("10.0.0.7")], isGood: false),
    NameCase(certificate: [.ip("10.0.0.7")], expected: [.ip("10.0.0.7")], isGood: true),
    NameCase(certificate: [.ip("10.0.0.7")], expected: [.ip("10.0.0.8")], isGood: false),
    NameCase(certificate: [.ip("fd00::7")], expected: [.ip("fd00:0::7")], isGood: true),
    NameCase(
      certificate: [.uri("spiffe://e.org/a")], expected: [.uri("spiffe://e.org/a")], isGood: true),
    NameCase(
      certificate: [.uri("spiffe://e.org/a")], expected: [.uri("spiffe://e.org/b")], isGood: false),
    NameCase(
      certificate: [.uri("spiffe://e.org/a")], expected: [.trustDomain("e.org")], isGood: true),
    NameCase(
      certificate: [.uri("spiffe://e.org.x/a")], expected: [.trustDomain("e.org")], isGood: false),
    NameCase(
      certificate: [.uri("spiffe://e.org/a"), .uri("spiffe://x.org/a")],
      expected: [.trustDomain("e.org")], isGood: false),
    NameCase(
      certificate: [.dns("a.example")], expected: [.dns("b.example"), .dns("a.example")],
      isGood: true),
    NameCase(certificate: [], expected: [.dns("server")], isGood: false),
  ]

  @Test("The server's certificate must have one of the expected names", arguments: names)
  func serverNames(_ one: NameCase) async throws {
    let pki = try TestPKI()
    try pki.issue("server", .server, one.certificate)
    let client = pki.client { $0.peerNames = one.expected }
    try await withServer(pki, pki.server()) { _ in
      if one.isGood {
        await (try connect(pki, client)).close()
      } else {
        let error = try await refusal { try await connect(pki, client) }
        #expect(error.code == .wrongName)
        #expect(error.message.contains("not \(one.expected[0])"))
      }
    }
  }

  @Test("The client's certificate must have one of the names that a listener expects")
  func clientNames() async throws {
    let pki = try TestPKI()
    let good = pki.server { $0.peerNames = [.trustDomain("example.org")] }
    try await withServer(pki, good) { _ in await (try connect(pki, pki.client())).close() }
    let bad = pki.server { $0.peerNames = [.uri("spiffe://example.org/other")] }
    try await withServer(pki, bad) { listener in
      let error = try await refusal { try await connect(pki, pki.client()) }
      #expect(error.code == .refusedByPeer)
      try await eventually("it is counted") { listener.statistics.refused == 1 }
    }
  }

  @Test("A wrong name says whose certificate it is")
  func message() async throws {
    let pki = try TestPKI()
    let error = try await refused(
      pki, pki.server(), pki.client { $0.serverName = "build-8.example" })
    #expect(
      error.message == "the server's certificate is for build-7.example, not build-8.example")
  }

  @Test("A certificate that is for clients is no server's")
  func purpose() async throws {
    let pki = try TestPKI()
    try pki.issue("server", .client, [.dns("build-7.example")])
    let error = try await refused(pki, pki.server(), pki.client())
    #expect(error.code == .certificateRefused)
    #expect(error.message.contains("not made for this side"))
  }

  @Test("Without verification anybody is taken, and is not called verified")
  func noVerification() async throws {
    let pki = try TestPKI()
    try pki.issue("server", .server, [], by: PrivateAuthority())
    let server = pki.server {
      $0.clientCertificates = .none
      $0.authority = nil
    }
    try await withServer(pki, server) { _ in
      let connection = try await connect(pki, TLSConfiguration { $0.verification = .none })
      #expect(connection.tls?.isVerified == false)
      #expect(connection.tls?.chain.isEmpty == false)
      #expect(connection.tls?.spiffeID == nil)
      await connection.close()
    }
  }
}
