import ProcessSupervision
import Testing
import TransportCore

extension TLSOpenSSL {
  @Suite("every combination of version, client certificate and ALPN")
  struct Matrix {
    @Test("we dial s_server", arguments: Combination.all)
    func dial(_ combination: Combination) async throws {
      let tls = try fixture()
      var arguments = tls.server.arguments + [combination.versionArgument]
      arguments += combination.alpnArguments
      var address = "?ca=\(tls.authority.certificate)\(combination.alpnParameter)"
      if combination.isMutual {
        arguments += ["-CAfile", tls.authority.certificate, "-Verify", "1", "-verify_return_error"]
        address += "&\(tls.client.parameters)"
      }
      try await withServer(arguments) { server, port in
        let end = try await TLSEnd.dial("tls://127.0.0.1:\(port)\(address)")
        let peer = try #require(end.tls)
        #expect(peer.version == combination.version)
        #expect(peer.alpn == combination.alpn)
        #expect(peer.isVerified && !peer.isResumed)
        #expect(peer.dnsNames == ["build-7.example"] && peer.ipAddresses == ["127.0.0.1"])
        #expect(peer.chain.first?.subject == "CN=server")

        try await end.send(long)
        try await server.prints(long)
        try await server.type(alsoLong)
        try await end.hears(alsoLong)
        let text = server.text
        #expect(text.contains("ALPN protocols selected: h2") == (combination.alpn != nil))
        #expect(text.contains("subject=CN = client\n") == combination.isMutual)

        // s_server says DONE to a close_notify, and ERROR to a cut.
        await end.close()
        try await server.prints("DONE\n")
        #expect(!server.text.contains("ERROR"))
      }
    }

    @Test("s_client dials us", arguments: Combination.all)
    func listen(_ combination: Combination) async throws {
      let tls = try fixture()
      var address = "tls://127.0.0.1:0?\(tls.server.parameters)\(combination.alpnParameter)"
      var arguments =
        ["-CAfile", tls.authority.certificate, "-verify_return_error", "-servername"]
        + [OpenSSLFixture.serverName, "-verify_hostname", OpenSSLFixture.serverName]
        + [combination.versionArgument] + combination.alpnArguments
      if combination.isMutual {
        address += "&ca=\(tls.authority.certificate)"
        arguments += tls.client.arguments
      } else {
        address += "&clientcert=none"
      }
      try await TLSListening.run(address) { listening in
        try await withClient(of: listening.port, arguments) { client in
          let end = try await listening.end()
          let peer = try #require(end.tls)
          #expect(peer.version == combination.version)
          #expect(peer.alpn == combination.alpn)
          #expect(peer.isVerified == combination.isMutual)
          #expect(
            peer.spiffeID == (combination.isMutual ? "spiffe://example.org/client" : nil))
          #expect(peer.chain.first?.subject == (combination.isMutual ? "CN=client" : nil))

          try await client.prints("Verification: OK\nVerified peername: build-7.example\n")
          try await client.prints("New, TLSv\(combination.version.rawValue), Cipher is ")
          #expect(client.text.contains("ALPN protocol: h2") == (combination.alpn != nil))
          try await client.type(long)
          try await end.hears(long)
          try await end.send(alsoLong)
          try await client.prints(alsoLong)

          client.endInput()
          guard case .said = try await end.ending() else {
            Issue.record("the end was not heard of as one")
            return
          }
          await end.close()
          #expect(try await client.end().isSuccess)
        }
      }
    }
  }
}
