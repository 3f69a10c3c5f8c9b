import NIOSSL
import TLSTransport
import Testing
import TransportCore

extension TLSNIOSSL {
  @Suite("every combination of version, client certificate and ALPN")
  struct Matrix {
    /// Bytes both ways at once, then one end after the other.
    private func talk(_ first: TLSEnd, _ second: TLSEnd) async throws {
      async let sent: Void = first.send(long)
      async let answered: Void = second.send(long)
      _ = try await (sent, answered)
      try await first.hears(long)
      try await second.hears(long)

      try await first.closeOutput()
      expectSaid(try await second.ending())
      // The other direction is still open.
      try await second.send("!")
      try await first.hears(long + "!")
      try await second.closeOutput()
      // Both have said so: the connection is over, and no error came.
      if case .failed(let error) = try await first.ending() { Issue.record(error) }
    }

    private func expectSaid(_ ending: TLSEnd.Ending) {
      guard case .said = ending else {
        Issue.record("it ended as \(ending)")
        return
      }
    }

    @Test("we dial NIOSSL", arguments: TLSOpenSSL.Combination.all)
    func dial(_ combination: TLSOpenSSL.Combination) async throws {
      let tls = try fixture()
      var address = "?ca=\(tls.authority.certificate)\(combination.alpnParameter)"
      if combination.isMutual { address += "&\(tls.client.parameters)" }
      let configuration = try server(
        tls.server, combination, clients: combination.isMutual ? tls.authority : nil)
      try await withServer(configuration) { port, next in
        let ours = try await TLSEnd.dial("tls://127.0.0.1:\(port)\(address)")
        let theirs = try await next()
        #expect(ours.tls?.version == combination.version)
        #expect(ours.tls?.alpn == combination.alpn)
        #expect(ours.tls?.isVerified == true)
        #expect(ours.tls?.dnsNames == ["build-7.example"])
        try await talk(ours, theirs)
        #expect(theirs.alpn == combination.alpn)
        await ours.close()
      }
    }

    @Test("NIOSSL dials us", arguments: TLSOpenSSL.Combination.all)
    func listen(_ combination: TLSOpenSSL.Combination) async throws {
      let tls = try fixture()
      var address = "tls://127.0.0.1:0?\(tls.server.parameters)\(combination.alpnParameter)"
      address +=
        combination.isMutual ? "&ca=\(tls.authority.certificate)" : "&clientcert=none"
      let configuration = try client(
        combination.isMutual ? tls.client : nil, combination, servers: tls.authority)
      try await TLSListening.run(address) { listening in
        let theirs = try await TLSNIOSSL.dial(listening.port, configuration)
        let ours = try await listening.end()
        #expect(ours.tls?.version == combination.version)
        #expect(ours.tls?.alpn == combination.alpn)
        #expect(
          ours.tls?.spiffeID == (combination.isMutual ? "spiffe://example.org/client" : nil))
        try await talk(theirs, ours)
        #expect(theirs.alpn == combination.alpn)
        await theirs.close()
      }
    }
  }

  @Suite("refusals")
  struct Refusals {
    private static let plain = TLSOpenSSL.Combination.all.filter { !$0.isMutual && $0.alpn == nil }

    private func stranger(_ tls: OpenSSLFixture) async throws -> OpenSSLAuthority {
      try await OpenSSLAuthority.make(named: OpenSSLFixture.unique("stranger"), in: tls.directory)
    }

    @Test("NIOSSL's are understood", arguments: plain)
    func dial(_ combination: TLSOpenSSL.Combination) async throws {
      let tls = try fixture()
      let configuration = try server(tls.server, combination, clients: tls.authority)
      let unknown = try await stranger(tls).issueClient()
      try await withServer(configuration) { port, _ in
        let address = "tls://127.0.0.1:\(port)?ca=\(tls.authority.certificate)"
        let missing = try await TLSEnd.refusal(address)
        #expect(missing.code == .refusedByPeer)
        #expect(missing.message.contains("the server wants a client certificate"), "\(missing)")
        #expect(missing.hint?.contains("cert=") == true)
        let refused = try await TLSEnd.refusal("\(address)&\(unknown.parameters)")
        #expect(refused.code == .refusedByPeer)
        #expect(refused.message.contains("this client's certificate"), "\(refused)")
      }
    }

    @Test("NIOSSL understands ours", arguments: plain)
    func listen(_ combination: TLSOpenSSL.Combination) async throws {
      let tls = try fixture()
      let unknown = try await stranger(tls)
      let address = "tls://127.0.0.1:0?\(tls.server.parameters)&ca=\(tls.authority.certificate)"
      try await TLSListening.run(address) { listening in
        let clients: [(NIOSSL.TLSConfiguration, String, String)] = [
          (try client(nil, combination, servers: tls.authority), "showed no certificate", "lert"),
          (
            try client(try await unknown.issueClient(), combination, servers: tls.authority),
            "signed by an unknown CA", "UNKNOWN_CA"
          ),
          (
            try client(tls.client, combination, servers: unknown),
            "does not know the CA that signed this server's certificate",
            "CERTIFICATE_VERIFY_FAILED"
          ),
        ]
        for (index, (configuration, report, theirReport)) in clients.enumerated() {
          let theirs = try await TLSNIOSSL.dial(listening.port, configuration)
          let reason = try await listening.refusal(index)
          #expect(reason.contains(report), "\(reason)")
          guard case .failed(let error) = try await theirs.ending() else {
            Issue.record("it ended otherwise")
            continue
          }
          #expect("\(error)".uppercased().contains(theirReport.uppercased()), "\(error)")
          await theirs.close()
        }
        #expect(listening.endCount == 0)
      }
    }
  }
}
