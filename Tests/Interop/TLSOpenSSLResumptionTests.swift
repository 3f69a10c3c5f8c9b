import Hawsepipe
import TLSTransport
import Testing
import TransportCore

extension TLSOpenSSL {
  @Suite("sessions that are resumed")
  struct Resuming {
    private static let both: [Combination] = Combination.all.filter { $0.alpn == nil }

    @Test("s_server resumes ours, and the peer is known as before", arguments: both)
    func dial(_ combination: Combination) async throws {
      let tls = try fixture()
      var arguments = tls.server.arguments + [combination.versionArgument]
      var parameters = "?ca=\(tls.authority.certificate)"
      if combination.isMutual {
        arguments += ["-CAfile", tls.authority.certificate, "-Verify", "1", "-verify_return_error"]
        parameters += "&\(tls.client.parameters)"
      }
      try await withServer(arguments) { server, port in
        var resumed: [Bool] = []
        var registry = TransportRegistry.standard
        // Its sessions are the registry's.
        for round in 1...3 {
          let end = try await TLSEnd.dial("tls://127.0.0.1:\(port)\(parameters)", with: registry)
          // What comes first, in TLS 1.3, are the tickets.
          try await server.type("\(round)\n")
          try await end.hears("\(round)\n")
          resumed.append(end.tls?.isResumed == true)
          #expect(end.tls?.isVerified == true)
          #expect(end.tls?.dnsNames == ["build-7.example"])
          await end.close()
          try await eventually("s_server is through with it") {
            server.text.split(separator: "\n").count { $0 == "DONE" } == round
          }
        }
        #expect(resumed == [false, true, true])
        #expect(server.text.split(separator: "\n").count { $0.hasPrefix("Reused session-id") } == 2)

        // Other credentials are another client.
        registry.register(TLSLayer())
        let end = try await TLSEnd.dial("tls://127.0.0.1:\(port)\(parameters)", with: registry)
        #expect(end.tls?.isResumed == false)
        await end.close()
        let unasked = try await TLSEnd.dial("tls://127.0.0.1:\(port)\(parameters)&resume=off")
        #expect(unasked.tls?.isResumed == false)
        await unasked.close()
      }
    }

    @Test("our listener resumes s_client's, and the peer is known as before", arguments: both)
    func listen(_ combination: Combination) async throws {
      let tls = try fixture()
      let pair = try await tls.authority.issueServer()
      let layer = TLSLayer()
      var registry = TransportRegistry.standard
      registry.register(layer)
      let session = "\(tls.directory)/\(OpenSSLFixture.unique("session"))"
      var arguments = ["-CAfile", tls.authority.certificate, combination.versionArgument]
      var address = "tls://127.0.0.1:0?\(pair.parameters)"
      if combination.isMutual {
        address += "&ca=\(tls.authority.certificate)"
        arguments += tls.client.arguments
      } else {
        address += "&clientcert=none"
      }
      try await TLSListening.run(address, with: registry) { listening in
        /// Whether both sides agree that it was resumed.
        func connect(_ index: Int, _ more: [String]) async throws -> Bool {
          try await withClient(of: listening.port, arguments + more) { client in
            let end = try await listening.end(index)
            let peer = try #require(end.tls)
            #expect(peer.isVerified == combination.isMutual)
            #expect(
              peer.spiffeID == (combination.isMutual ? "spiffe://example.org/client" : nil))
            // Behind the ticket, if there is one.
            try await end.send("1234\n")
            try await client.prints("1234\n")
            client.endInput()
            try await client.end()
            let says = client.text.contains(
              "Reused, TLSv\(combination.version.rawValue), Cipher is ")
            #expect(says == peer.isResumed)
            if combination.isMutual {
              // It only stands for a session that the listener keeps, certificate and all.
              #expect(ticketSize(client.text) == (combination.version == .tls13 ? 32 : nil))
            }
            return peer.isResumed
          }
        }
        #expect(try await !connect(0, ["-sess_out", session]))
        #expect(HostFiles.exists(session))
        #expect(try await connect(1, ["-sess_in", session, "-sess_out", session]))
        #expect(try await connect(2, ["-sess_in", session]))
        // With new credentials everybody shakes hands anew.
        try pair.replace(by: try await tls.authority.issueServer())
        #expect(await layer.reload().isEmpty)
        #expect(try await !connect(3, ["-sess_in", session]))
      }
    }

    /// The bytes of the last session ticket that s_client shows, if there is one.
    private func ticketSize(_ text: String) -> Int? {
      let head = "TLS session ticket:\n"
      guard let last = text.ranges(of: head).last.map({ text[$0.upperBound...] }) else {
        return nil
      }
      let lines = last.split(separator: "\n", omittingEmptySubsequences: false)
        .prefix { $0.hasPrefix("    0") }
      return lines.count * 16
    }

    @Test("s_client -reconnect resumes five times")
    func reconnect() async throws {
      let tls = try fixture()
      try await TLSListening.run(
        "tls://127.0.0.1:0?\(tls.server.parameters)&ca=\(tls.authority.certificate)"
      ) { listening in
        let arguments =
          ["-CAfile", tls.authority.certificate, "-tls1_2", "-reconnect"] + tls.client.arguments
        try await withClient(of: listening.port, arguments) { client in
          for index in 0...5 {
            let end = try await listening.end(index)
            #expect(end.tls?.isResumed == (index > 0))
            #expect(end.tls?.spiffeID == "spiffe://example.org/client")
          }
          try await eventually("s_client has resumed") {
            client.text.split(separator: "\n").count { $0.hasPrefix("Reused, TLSv1.2") } == 5
          }
        }
      }
    }

    @Test("a listener that does not resume gives s_client no ticket")
    func off() async throws {
      let tls = try fixture()
      for option in ["-tls1_2", "-tls1_3"] {
        let session = "\(tls.directory)/\(OpenSSLFixture.unique("session"))"
        try await TLSListening.run(
          "tls://127.0.0.1:0?\(tls.server.parameters)&clientcert=none&resume=off"
        ) { listening in
          for (index, more) in [["-sess_out", session], ["-sess_in", session]].enumerated() {
            // TLS 1.3 has no session without a ticket.
            if index == 1, !HostFiles.exists(session) { break }
            try await withClient(of: listening.port, [option] + more) { client in
              let end = try await listening.end(index)
              #expect(end.tls?.isResumed == false)
              try await end.send("1234\n")
              try await client.prints("1234\n")
              client.endInput()
              try await client.end()
              #expect(!client.text.contains("TLS session ticket:"))
            }
          }
        }
      }
    }
  }
}
