import Synchronization
import TLSTransport
import Testing
import TransportCore

@Suite struct ClientCertificateTests {
  private func without(_ pki: TestPKI, _ version: TLSIdentity.Version) -> TLSConfiguration {
    pki.client {
      ($0.certificate, $0.key) = (nil, nil)
      $0.maximumVersion = version
    }
  }

  @Test(
    "A listener refuses clients without a certificate, and they learn why",
    arguments: TLSIdentity.Version.allCases)
  func required(_ version: TLSIdentity.Version) async throws {
    let pki = try TestPKI()
    let served = Mutex(0)
    try await withServer(pki, pki.server(), serve: { _ in served.withLock { $0 += 1 } }) {
      listener in
      let error = try await refusal { try await connect(pki, without(pki, version)) }
      #expect(error.code == .refusedByPeer)
      #expect(error.message.contains("the server wants a client certificate"))
      #expect(!error.message.contains("unknown"), "the alert has a name: \(error.message)")
      #expect(error.hint?.contains("cert=") == true)
      try await eventually("it is counted") { listener.statistics.refused == 1 }
      #expect(listener.statistics.accepted == 0)
    }
    #expect(served.withLock { $0 } == 0)
  }

  @Test(
    "A listener refuses clients of an unknown CA, and they learn why",
    arguments: TLSIdentity.Version.allCases)
  func unknownCA(_ version: TLSIdentity.Version) async throws {
    let pki = try TestPKI()
    try pki.issue("client", .client, [], by: PrivateAuthority())
    try await withServer(pki, pki.server()) { listener in
      let error = try await refusal {
        try await connect(pki, pki.client { $0.maximumVersion = version })
      }
      #expect(error.code == .refusedByPeer)
      #expect(error.message.contains("does not know the CA"))
      #expect(error.alert == 48)
      try await eventually("it is counted") { listener.statistics.refused == 1 }
    }
  }

  @Test("An optional certificate may be missing, but must not be bad")
  func optional() async throws {
    let pki = try TestPKI()
    try pki.issue("stranger", .client, [], by: PrivateAuthority())
    let seen = Mutex<[Bool]>([])
    try await withServer(
      pki, pki.server { $0.clientCertificates = .optional },
      serve: { connection in
        seen.withLock { $0.append(connection.peer.tls?.isVerified == true) }
        await connection.closed()
      }
    ) { _ in
      for configuration in [without(pki, .tls13), pki.client()] {
        let connection = try await connect(pki, configuration)
        _ = try await connection.echo("x")
        await connection.close()
      }
      #expect(seen.withLock { $0 } == [false, true])
      let error = try await refusal {
        try await connect(
          pki,
          pki.configuration("stranger") { $0.serverName = "build-7.example" })
      }
      #expect(error.code == .refusedByPeer)
    }
  }

  @Test("A client that the policy refuses is hung up on before the protocol begins")
  func policy() async throws {
    let pki = try TestPKI()
    let policy = PeerPolicy.uris(["spiffe://example.org/other"])
    try await withServer(pki, pki.server(), policy: policy) { listener in
      let error = try await refusal { try await connect(pki, pki.client()) }
      #expect(error.code == .refusedByPeer)
      try await eventually("it is counted") { listener.statistics.refused == 1 }
      #expect(listener.statistics.accepted == 0)
    }
  }

  @Test("A client's policy decides on the server's whole identity")
  func clientPolicy() async throws {
    let pki = try TestPKI()
    try await withServer(pki, pki.server()) { _ in
      var options = ConnectOptions(timeout: .seconds(30), tryLimit: .seconds(30))
      options.policy = .all([.sameUser, .dnsNames(["build-7.example"])])
      await (try connect(pki, pki.client(), options: options)).close()
      options.policy = .dnsNames(["build-8.example"])
      let error = await #expect(throws: TransportError.self) {
        try await connect(pki, pki.client(), options: options)
      }
      #expect(error?.code == .refusedByPolicy)
    }
  }

  @Test("TLS over a unix socket has both identities, on both sides")
  func bothIdentities() async throws {
    let pki = try TestPKI()
    let seen = Mutex<PeerIdentity?>(nil)
    try await withServer(
      pki, pki.server(),
      serve: { connection in
        seen.withLock { $0 = connection.peer }
        await connection.closed()
      }
    ) { _ in
      let connection = try await connect(pki, pki.client())
      _ = try await connection.echo("x")
      #expect(connection.connection.peer.unix != nil)
      await connection.close()
    }
    let peer = try #require(seen.withLock { $0 })
    #expect(peer.unix != nil)
    #expect(peer.tls?.spiffeID == "spiffe://example.org/client")
    #expect(peer.tls?.chain.first?.subject == "CN=client")
  }
}
