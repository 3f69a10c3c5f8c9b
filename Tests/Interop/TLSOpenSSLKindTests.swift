import Hawsepipe
import TLSTransport
import Testing
import TransportCore

extension TLSOpenSSL {
  /// What the matrix holds still.
  @Suite("other keys and other transports")
  struct Kinds {
    struct Key: Sendable, CustomTestStringConvertible {
      var testDescription: String
      /// As `openssl req -newkey` has it.
      var arguments: [String]
    }

    static let keys = [
      Key(testDescription: "RSA 2048", arguments: ["rsa:2048"]),
      Key(testDescription: "P-384", arguments: ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]),
      Key(testDescription: "Ed25519", arguments: ["ed25519"]),
    ]

    @Test(
      "certificates with other keys serve on either side", arguments: keys,
      TLSIdentity.Version.allCases)
    func otherKeys(_ key: Key, _ version: TLSIdentity.Version) async throws {
      let tls = try fixture()
      let server = try await tls.authority.issue(
        OpenSSLFixture.unique("server"), names: ["IP:127.0.0.1"], usage: "serverAuth",
        key: key.arguments)
      let client = try await tls.authority.issue(
        OpenSSLFixture.unique("client"), names: ["URI:spiffe://example.org/other"],
        usage: "clientAuth", key: key.arguments)
      let ca = tls.authority.certificate
      let common =
        ["-CAfile", ca, "-verify_return_error"] + [version == .tls12 ? "-tls1_2" : "-tls1_3"]
      try await withServer(server.arguments + common + ["-Verify", "1"]) { process, port in
        let end = try await TLSEnd.dial("tls://127.0.0.1:\(port)?ca=\(ca)&\(client.parameters)")
        try await end.send("123\n")
        try await process.prints("123\n")
        await end.close()
      }
      try await TLSListening.run("tls://127.0.0.1:0?\(server.parameters)&ca=\(ca)") { listening in
        try await withClient(of: listening.port, client.arguments + common) { process in
          let end = try await listening.end()
          #expect(end.tls?.spiffeID == "spiffe://example.org/other")
          try await end.send("123\n")
          try await process.prints("123\n")
        }
      }
    }

    @Test("over a unix socket, a name is asked for and checked")
    func unixSockets() async throws {
      let tls = try fixture()
      let path = "\(tls.directory)/\(OpenSSLFixture.unique("unix"))"
      let address = "tls+unix://\(path)?ca=\(tls.authority.certificate)&\(tls.client.parameters)"
      // Debian's s_server cannot listen there.
      try await Stunnel.run(path, before: "exec = /bin/cat", tls) { _ in
        try await eventually("stunnel listens") { HostFiles.exists(path) }
        let nobody = try await TLSEnd.refusal(address)
        #expect(nobody.code == .configuration)
        #expect(nobody.message.contains("nothing says whose certificate to expect"))
        #expect(nobody.hint?.contains("servername=") == true)
        let end = try await TLSEnd.dial("\(address)&servername=build-7.example")
        #expect(end.tls?.dnsNames == ["build-7.example"])
        try await end.send("123\n")
        try await end.hears("123\n")
        await end.close()
      }
      let own = "\(path)-ours"
      try await TLSListening.run(
        "tls+unix://\(own)?\(tls.server.parameters)&ca=\(tls.authority.certificate)"
      ) { listening in
        try await OpenSSLProcess.run(
          arguments: ["s_client", "-unix", own, "-verify_hostname", "build-7.example"]
            + ["-CAfile", tls.authority.certificate, "-verify_return_error"] + tls.client.arguments
        ) { process in
          let end = try await listening.end()
          #expect(end.tls?.spiffeID == "spiffe://example.org/client")
          try await process.type("123\n")
          try await end.hears("123\n")
        }
      }
      #expect(!HostFiles.exists(own))
    }

    @Test("what is not TLS is named as that, on either side")
    func notTLS() async throws {
      let tls = try fixture()
      try await TLSListening.run(
        "tls://127.0.0.1:0?\(tls.server.parameters)&clientcert=none"
      ) { listening in
        try await OpenSSLProcess.run(
          "/usr/bin/python3",
          arguments: [
            "-c",
            "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
              + "s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); s.recv(100)",
            "\(listening.port)",
          ]
        ) { process in
          let reason = try await listening.refusal()
          #expect(reason.contains("what the client sends is not TLS"), "\(reason)")
          try await process.end()
        }
        #expect(listening.statistics.failed == 1)
      }
      try await OpenSSLProcess.run(
        "/usr/bin/python3",
        arguments: [
          "-c",
          "import socket; s = socket.create_server(('127.0.0.1', 0));"
            + "print('ACCEPT 127.0.0.1:%d' % s.getsockname()[1], flush=True);"
            + "c = s.accept()[0]; c.sendall(b'220 ready\\r\\n'); c.recv(10000); c.recv(1)",
        ]
      ) { process in
        let port = try await process.port()
        let error = try await TLSEnd.refusal(
          "tls://127.0.0.1:\(port)?ca=\(tls.authority.certificate)")
        #expect(error.code == .protocolViolated)
        #expect(error.message.contains("what the server sends is not TLS"))
        #expect(error.hint?.contains("leave out tls+") == true)
      }
    }
  }
}
