import TLSTransport
import Testing
import TransportCore

@Suite struct ResumptionTests {
  /// Connects so often, one after the other, and says which connections were resumed.
  private func resumed(
    _ pki: TestPKI, _ layer: TLSLayer, _ configuration: TLSConfiguration, count: Int = 3
  ) async throws -> [Bool] {
    var resumed: [Bool] = []
    for _ in 0..<count {
      let connection = try await connect(pki, configuration, layer: layer)
      #expect(try await connection.echo("hello") == "hello")
      let tls = try #require(connection.tls)
      #expect(tls.isVerified)
      #expect(tls.dnsNames == ["build-7.example"])
      resumed.append(tls.isResumed)
      await connection.close()
    }
    return resumed
  }

  @Test(
    "Later connections resume, and are as verified as the first",
    arguments: TLSIdentity.Version.allCases)
  func resumes(_ version: TLSIdentity.Version) async throws {
    let pki = try TestPKI()
    let client = pki.client { $0.maximumVersion = version }
    try await withServer(
      pki, pki.server(),
      serve: { connection in
        #expect(connection.peer.tls?.isVerified == true)
        #expect(connection.peer.tls?.spiffeID == "spiffe://example.org/client")
        #expect(connection.peer.tls?.chain.count == 1)
        await connection.closed()
      }
    ) { _ in
      let resumptions = try await resumed(pki, TLSLayer(client), client)
      #expect(resumptions == [false, true, true])
    }
  }

  @Test("Nothing is resumed when either side does not want it", arguments: [true, false])
  func off(isClients: Bool) async throws {
    let pki = try TestPKI()
    let client = pki.client { $0.resumesSessions = !isClients }
    try await withServer(pki, pki.server { $0.resumesSessions = isClients }) { _ in
      let resumptions = try await resumed(pki, TLSLayer(client), client)
      #expect(resumptions == [false, false, false])
    }
  }

  @Test("A session is not resumed under another name or another CA")
  func otherExpectations() async throws {
    let pki = try TestPKI()
    let layer = TLSLayer(pki.client())
    try await withServer(pki, pki.server()) { _ in
      let resumptions = try await resumed(pki, layer, pki.client())
      #expect(resumptions == [false, true, true])
      let wrong = try await refusal {
        try await connect(
          pki, pki.client(), layer: layer, parameters: [("servername", "build-8.example")])
      }
      #expect(wrong.code == .wrongName)
      let other = try PrivateAuthority()
      let path = try pki.directory.write("other.pem", other.certificate)
      let unknown = try await refusal {
        try await connect(pki, pki.client(), layer: layer, parameters: [("ca", path)])
      }
      #expect(unknown.code == .certificateRefused)
    }
  }

  /// A busy machine may take longer to the first connection than a certificate lives: then one that
  /// lives longer is tried.
  @Test("A session of a certificate that has expired since is not resumed")
  func expired() async throws {
    for lifetime: Int64 in [8, 25] {
      if try await expires(after: lifetime) { return }
    }
    Issue.record("the certificate expired each time before there was a connection")
  }

  /// - Returns: whether there was a connection before the certificate expired.
  private func expires(after lifetime: Int64) async throws -> Bool {
    let pki = try TestPKI()
    try pki.issue(
      "server", .server, [.dns("build-7.example")], validity: .init(from: -60, until: lifetime))
    let layer = TLSLayer(pki.client())
    return try await withServer(pki, pki.server()) { _ in
      do {
        await (try connect(pki, pki.client(), layer: layer)).close()
      } catch {
        guard tlsError(error)?.code == .certificateRefused else { throw error }
        return false
      }
      try await eventually("the certificate has expired") {
        do {
          await (try connect(pki, pki.client(), layer: layer)).close()
          return false
        } catch {
          #expect(tlsError(error)?.code == .certificateRefused)
          #expect(tlsError(error)?.message.contains("expired on") == true)
          return true
        }
      }
      return true
    }
  }
}
