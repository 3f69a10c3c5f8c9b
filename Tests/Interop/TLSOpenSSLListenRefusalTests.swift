import ProcessSupervision
import TLSTransport
import Testing
import TransportCore

extension TLSOpenSSL {
  /// Clients that our listener does not let in, and those that turn away.
  @Suite("what a listener of ours and its clients are told when there is no connection")
  struct ListeningRefusals {
    struct Trouble: Sendable, CustomTestStringConvertible {
      var testDescription: String
      var client: Client = .good
      /// Options of s_client.
      var options: [String] = []
      /// Parameters of the address besides the certificate and the CA.
      var parameters = ""
      var versions = TLSIdentity.Version.allCases
      /// Whether it is the client that was turned away by what it is.
      var isRefusal = true
      /// What the listener reports.
      var reports: String
      /// What s_client says.
      var clientSees: String
    }

    enum Client: Sendable { case none, good, ofOtherCA, expired, notYetValid }

    static let troubles: [Trouble] = [
      Trouble(
        testDescription: "a client certificate that is missing", client: .none,
        reports: "the client showed no certificate", clientSees: "SSL alert number"),
      Trouble(
        testDescription: "a client certificate of an unknown CA", client: .ofOtherCA,
        reports: "is signed by an unknown CA", clientSees: "alert unknown ca"),
      Trouble(
        testDescription: "a client certificate that expired", client: .expired,
        reports: "the client's certificate (CN=client", clientSees: "alert certificate expired"),
      Trouble(
        testDescription: "a client certificate of tomorrow", client: .notYetValid,
        reports: "is valid only from", clientSees: "alert bad certificate"),
      Trouble(
        testDescription: "a client of another trust domain",
        parameters: "&trustdomain=example.net",
        reports: "is for spiffe://example.org/client, not any of spiffe://example.net/",
        clientSees: "SSL alert number"),
      Trouble(
        testDescription: "other application protocols", options: ["-alpn", "http/1.1"],
        parameters: "&alpn=h2", isRefusal: false,
        reports: "agreed on none of the application protocols h2",
        clientSees: "alert no application protocol"),
      Trouble(
        testDescription: "no application protocol", parameters: "&alpn=h2", isRefusal: false,
        reports: "agreed on none of the application protocols h2",
        clientSees: "alert no application protocol"),
      Trouble(
        testDescription: "a client below our minimum", parameters: "&min=1.3", versions: [.tls12],
        isRefusal: false, reports: "the client speaks no TLS version from 1.3 to 1.3",
        clientSees: "alert protocol version"),
      Trouble(
        testDescription: "a client of TLS 1.1", options: ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        versions: [.tls12], isRefusal: false,
        reports: "the client speaks no TLS version from 1.2 to 1.3",
        clientSees: "alert protocol version"),
      Trouble(
        testDescription: "a client of old cipher suites",
        options: ["-cipher", "ECDHE-ECDSA-AES128-SHA"], versions: [.tls12], isRefusal: false,
        reports: "the client has no cipher suite that is allowed here",
        clientSees: "alert handshake failure"),
      Trouble(
        testDescription: "a client that does not know our CA",
        options: ["-no-CAfile", "-no-CApath", "-no-CAstore"],
        isRefusal: false,
        reports: "the client does not know the CA that signed this server's certificate",
        clientSees: "verify error"),
      Trouble(
        testDescription: "a client that wants another name",
        options: ["-verify_hostname", "build-8.example"], isRefusal: false,
        reports: "the client refuses this server's certificate", clientSees: "hostname mismatch"),
    ]

    @Test("every trouble is named", arguments: troubles)
    func listen(_ trouble: Trouble) async throws {
      let tls = try fixture()
      let pair = try await client(trouble.client, tls)
      let ca = tls.authority.certificate
      for version in trouble.versions {
        try await TLSListening.run(
          "tls://127.0.0.1:0?\(tls.server.parameters)&ca=\(ca)\(trouble.parameters)"
        ) { listening in
          var arguments = ["-verify_return_error"] + (pair?.arguments ?? []) + trouble.options
          if !trouble.options.contains("-no-CAfile") { arguments += ["-CAfile", ca] }
          if !trouble.options.contains("-tls1_1") {
            arguments.append(version == .tls12 ? "-tls1_2" : "-tls1_3")
          }
          try await withClient(of: listening.port, arguments) { client in
            let status = try await client.end()
            #expect(status == .exited(1))
            #expect(client.text.contains(trouble.clientSees), "\(version): \(client.text)")
          }
          let reason = try await listening.refusal()
          #expect(reason.contains(trouble.reports), "\(version): \(reason)")
          #expect(listening.endCount == 0)
          let counts = listening.statistics
          #expect(
            [counts.accepted, counts.refused, counts.failed]
              == (trouble.isRefusal ? [0, 1, 0] : [0, 0, 1]))
        }
      }
    }

    private func client(_ client: Client, _ tls: OpenSSLFixture) async throws -> OpenSSLPair? {
      switch client {
      case .none: return nil
      case .good: return tls.client
      case .ofOtherCA:
        let stranger = try await OpenSSLAuthority.make(
          named: OpenSSLFixture.unique("stranger"), in: tls.directory)
        return try await stranger.issueClient()
      case .expired: return try await tls.authority.issueClient(from: -7200, until: -3600)
      case .notYetValid: return try await tls.authority.issueClient(from: 3600, until: 7200)
      }
    }

    @Test("a listener that is content without a client certificate still refuses a bad one")
    func optional() async throws {
      let tls = try fixture()
      let stranger = try await client(.ofOtherCA, tls)
      let ca = tls.authority.certificate
      try await TLSListening.run(
        "tls://127.0.0.1:0?\(tls.server.parameters)&ca=\(ca)&clientcert=optional"
      ) { listening in
        let arguments = ["-CAfile", ca, "-verify_return_error"]
        try await withClient(of: listening.port, arguments + (stranger?.arguments ?? [])) {
          client in
          let status = try await client.end()
          #expect(status == .exited(1))
        }
        #expect(try await listening.refusal().contains("unknown CA"))
        try await withClient(of: listening.port, arguments) { _ in
          let end = try await listening.end()
          #expect(end.tls?.isVerified == false)
        }
        try await withClient(of: listening.port, arguments + tls.client.arguments) { _ in
          let end = try await listening.end(1)
          #expect(end.tls?.isVerified == true)
        }
      }
    }
  }
}
