import Glibc
import TLSTransport
import Testing
import TransportCore

extension TLSOpenSSL {
  /// Servers that we do not talk to, and servers that do not talk to us: what, why and what to do.
  @Suite("what a client of ours is told when there is no connection")
  struct DiallingRefusals {
    /// What is wrong, with the server's and our own certificates.
    struct Trouble: Sendable, CustomTestStringConvertible {
      var testDescription: String
      /// Options of s_server besides its certificate.
      var server: [String] = []
      var certificate: Certificate = .good
      var client: Certificate = .none
      /// Parameters of the address besides `ca`.
      var parameters = ""
      var versions = TLSIdentity.Version.allCases
      var code: TLSError.Code
      /// Parts of the message.
      var says: [String]
      /// A part of the hint.
      var hint: String?
      /// What s_server says of it, if it is told.
      var serverSees: String?
    }

    enum Certificate: Sendable {
      case none, good, ofOtherCA, expired, notYetValid, forOtherSide, named([String])
    }

    private static let verifying = ["-Verify", "1", "-verify_return_error"]

    static let troubles: [Trouble] = [
      Trouble(
        testDescription: "an unknown CA", certificate: .ofOtherCA, code: .certificateRefused,
        says: ["the server's certificate (CN=", "is signed by an unknown CA"], hint: "ca=",
        serverSees: "alert unknown ca"),
      Trouble(
        testDescription: "an expired certificate", certificate: .expired, code: .certificateRefused,
        says: ["the server's certificate", "expired on \(date(-86400))"], hint: "renew",
        serverSees: "alert certificate expired"),
      Trouble(
        testDescription: "a certificate of tomorrow", certificate: .notYetValid,
        code: .certificateRefused, says: ["is valid only from \(date(86400))"], hint: "clocks",
        serverSees: "alert bad certificate"),
      Trouble(
        testDescription: "a wrong name", parameters: "&servername=build-8.example",
        code: .wrongName,
        says: ["is for build-7.example, 127.0.0.1, not build-8.example"], hint: "name=",
        serverSees: "alert"),
      Trouble(
        testDescription: "a wrong address", certificate: .named(["DNS:127.0.0.1", "IP:127.0.0.2"]),
        code: .wrongName, says: ["not 127.0.0.1"], hint: "name=", serverSees: "alert"),
      Trouble(
        testDescription: "a certificate without names", certificate: .named([]), code: .wrongName,
        says: ["has no names at all"], hint: "name=", serverSees: "alert"),
      Trouble(
        testDescription: "a wrong SPIFFE ID", certificate: .named(["URI:spiffe://example.org/a"]),
        parameters: "&uri=spiffe://example.org/b", code: .wrongName,
        says: ["is for spiffe://example.org/a, not spiffe://example.org/b"], serverSees: "alert"),
      Trouble(
        testDescription: "a certificate for clients", certificate: .forOtherSide,
        code: .certificateRefused, says: ["is not made for this side of TLS"], hint: "serverAuth",
        serverSees: "alert unsupported certificate"),
      Trouble(
        testDescription: "a client certificate that is missing", server: verifying,
        code: .refusedByPeer, says: ["the server wants a client certificate", "TLS alert"],
        hint: "cert=", serverSees: "peer did not return a certificate"),
      Trouble(
        testDescription: "a client certificate of a CA that the server does not know",
        server: verifying, client: .ofOtherCA, code: .refusedByPeer,
        says: [
          "the server does not know the CA that signed this client's certificate", "alert 48",
        ],
        serverSees: "certificate verify failed"),
      Trouble(
        testDescription: "a client certificate that expired", server: verifying, client: .expired,
        code: .refusedByPeer, says: ["says that this client's certificate expired", "alert 45"],
        serverSees: "certificate verify failed"),
      Trouble(
        testDescription: "other application protocols", server: ["-alpn", "h2"],
        parameters: "&alpn=ttrpc,other", code: .nothingInCommon,
        says: ["speaks none of the application protocols ttrpc, other", "alert 120"],
        hint: "alpn=", serverSees: "no application protocol"),
      Trouble(
        testDescription: "no application protocols", parameters: "&alpn=ttrpc",
        code: .nothingInCommon, says: ["agreed on none of the application protocols ttrpc"]),
      Trouble(
        testDescription: "a server of TLS 1.1 only",
        server: ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], versions: [.tls12],
        code: .nothingInCommon, says: ["the server speaks no TLS version from 1.2 to 1.3"]),
      Trouble(
        testDescription: "a server below our minimum", parameters: "&min=1.3", versions: [.tls12],
        code: .nothingInCommon, says: ["the server speaks no TLS version from 1.3 to 1.3"]),
      Trouble(
        testDescription: "a server of old cipher suites",
        server: ["-cipher", "ECDHE-ECDSA-AES128-SHA"],
        versions: [.tls12], code: .nothingInCommon,
        says: ["the server found nothing in common with this side"], hint: "cipher suites",
        serverSees: "no shared cipher"),
      Trouble(
        testDescription: "a server name that is not served",
        server: ["-servername", "build-9.example", "-servername_fatal"],
        parameters: "&servername=build-7.example", code: .refusedByPeer,
        says: ["does not know the server name that it was asked for", "alert 112"]),
    ]

    static func date(_ offset: Int) -> String {
      var seconds = time(nil) + offset
      var parts = tm()
      gmtime_r(&seconds, &parts)
      let day = { (number: Int32) in (number < 10 ? "0" : "") + String(number) }
      return "\(parts.tm_year + 1900)-\(day(parts.tm_mon + 1))-\(day(parts.tm_mday))"
    }

    private static func pair(
      _ certificate: Certificate, _ tls: OpenSSLFixture, isServer: Bool
    ) async throws -> OpenSSLPair? {
      let names =
        isServer ? ["DNS:build-7.example", "IP:127.0.0.1"] : ["URI:spiffe://example.org/c"]
      let name = OpenSSLFixture.unique("odd")
      let (own, other) = isServer ? ("serverAuth", "clientAuth") : ("clientAuth", "serverAuth")
      func issue(
        _ names: [String], _ usage: String, from: Int = -300, until: Int = 600,
        by authority: OpenSSLAuthority? = nil
      ) async throws -> OpenSSLPair {
        try await (authority ?? tls.authority).issue(
          name, names: names, usage: usage, from: from, until: until)
      }
      switch certificate {
      case .none: return nil
      case .good: return isServer ? tls.server : tls.client
      case .ofOtherCA:
        let stranger = try await OpenSSLAuthority.make(
          named: OpenSSLFixture.unique("stranger"), in: tls.directory)
        return try await issue(names, own, by: stranger)
      case .expired: return try await issue(names, own, from: -2 * 86400, until: -86400)
      case .notYetValid: return try await issue(names, own, from: 86400, until: 2 * 86400)
      case .forOtherSide: return try await issue(names, other)
      case .named(let names): return try await issue(names, own)
      }
    }

    @Test("every trouble is named", arguments: troubles)
    func dial(_ trouble: Trouble) async throws {
      let tls = try fixture()
      let server = try #require(try await Self.pair(trouble.certificate, tls, isServer: true))
      let client = try await Self.pair(trouble.client, tls, isServer: false)
      for version in trouble.versions {
        var arguments = server.arguments + ["-CAfile", tls.authority.certificate] + trouble.server
        // SNI chooses between two certificates.
        if trouble.server.contains("-servername") {
          arguments += ["-cert2", server.certificate, "-key2", server.key]
        }
        if !trouble.server.contains("-tls1_1") {
          arguments.append(version == .tls12 ? "-tls1_2" : "-tls1_3")
        }
        try await withServer(arguments) { process, port in
          let error = try await TLSEnd.refusal(
            "tls://127.0.0.1:\(port)?ca=\(tls.authority.certificate)\(trouble.parameters)"
              + (client.map { "&\($0.parameters)" } ?? ""))
          #expect(error.code == trouble.code, "\(version): \(error)")
          for part in trouble.says {
            #expect(error.message.contains(part), "\(version): \(error)")
          }
          if let hint = trouble.hint {
            #expect(error.hint?.contains(hint) == true, "\(version): \(error)")
          }
          if let line = trouble.serverSees { try await process.prints(line) }
        }
      }
    }

    @Test("a server whose intermediate CA is missing is refused, and let in with it")
    func intermediate() async throws {
      let tls = try fixture()
      let between = try await tls.authority.intermediate(named: OpenSSLFixture.unique("between"))
      let server = try await between.issueServer()
      let address = "?ca=\(tls.authority.certificate)"
      try await withServer(server.arguments) { _, port in
        let error = try await TLSEnd.refusal("tls://127.0.0.1:\(port)\(address)")
        #expect(error.code == .certificateRefused)
        #expect(error.message.contains("unknown CA") && error.message.contains(between.name))
      }
      try await withServer(server.arguments + ["-cert_chain", between.certificate]) { _, port in
        let end = try await TLSEnd.dial("tls://127.0.0.1:\(port)\(address)")
        #expect(end.tls?.chain.count == 2)
        await end.close()
      }
      // An intermediate that is given as the CA is one.
      try await withServer(server.arguments) { _, port in
        await (try TLSEnd.dial("tls://127.0.0.1:\(port)?ca=\(between.certificate)")).close()
      }
    }

    @Test("SNI chooses the certificate, whatever address is dialled")
    func serverName() async throws {
      let tls = try fixture()
      let other = try await tls.authority.issueServer(names: ["DNS:build-9.example"])
      let arguments =
        tls.server.arguments
        + ["-servername", "build-9.example", "-cert2", other.certificate, "-key2", other.key]
      try await withServer(arguments) { _, port in
        for name in ["build-7.example", "build-9.example"] {
          let end = try await TLSEnd.dial(
            "tls://127.0.0.1:\(port)?ca=\(tls.authority.certificate)&servername=\(name)")
          #expect(end.tls?.dnsNames == [name])
          await end.close()
        }
      }
    }
  }
}
