import Hawsepipe
import ProcessSupervision
import TLSTransport
import Testing
import TransportCore

extension TLSOpenSSL {
  @Suite("certificates that are replaced while they are in use")
  struct Reloading {
    /// A registry whose TLS the test can look into.
    private func registry() -> (TransportRegistry, TLSLayer) {
      let layer = TLSLayer()
      var registry = TransportRegistry.standard
      registry.register(layer)
      return (registry, layer)
    }

    private func serial(of pair: OpenSSLPair) async throws -> String {
      try await OpenSSLAuthority.openssl(["x509", "-noout", "-serial", "-in", pair.certificate])
    }

    /// The serial number of the certificate that a listener shows to s_client.
    private func served(_ port: Int, _ tls: OpenSSLFixture) async throws -> String {
      let arguments = tls.client.arguments + ["-CAfile", tls.authority.certificate]
      let shown = try await withClient(of: port, arguments + ["-verify_return_error"]) { client in
        try await client.prints("-----END CERTIFICATE-----")
        try await client.prints("Verification: OK")
        return client.out
      }
      // The command looks for the certificate among all the rest.
      let path = "\(tls.directory)/\(OpenSSLFixture.unique("served")).pem"
      try HostFiles.write(path, shown)
      return try await serial(of: OpenSSLPair(certificate: path, key: ""))
    }

    @Test(
      "a listener shows the new certificate, keeps the last good one, and its connections live on")
    func listener() async throws {
      let tls = try fixture()
      let pair = try await tls.authority.issueServer()
      let (registry, layer) = registry()
      try await TLSListening.run(
        "tls://127.0.0.1:0?\(pair.parameters)&ca=\(tls.authority.certificate)", with: registry
      ) { listening in
        let first = try await serial(of: pair)
        #expect(try await served(listening.port, tls) == first)
        let old = try await TLSEnd.dial(
          "tls://127.0.0.1:\(listening.port)?ca=\(tls.authority.certificate)"
            + "&\(tls.client.parameters)")

        // Nobody tells the listener: it looks.
        try pair.replace(by: try await tls.authority.issueServer())
        let second = try await serial(of: pair)
        #expect(first != second)
        try await eventually("the new certificate is shown") {
          try await served(listening.port, tls) == second
        }

        // A key that does not fit, then no certificate at all, then again a good one.
        let credentials = try #require(layer.credentials.first { $0.reloads == 1 })
        let other = try await tls.authority.issueServer()
        let certificate = HostFiles.text(pair.certificate)
        try HostFiles.write(pair.certificate, HostFiles.text(other.certificate))
        try await eventually("the bad pair is noticed") {
          credentials.problem?.message.contains("does not fit the certificate") == true
        }
        #expect(try await served(listening.port, tls) == second)
        try HostFiles.write(pair.certificate, "no certificate\n")
        try await eventually("the bad file is noticed") {
          credentials.problem?.message.contains("does not fit") == false
        }
        #expect(credentials.problem?.message.contains(pair.certificate) == true)
        #expect(try await served(listening.port, tls) == second)
        try HostFiles.write(pair.certificate, certificate)
        try await eventually("the good file is noticed") { credentials.problem == nil }
        try pair.replace(by: other)
        #expect(await layer.reload().isEmpty)
        #expect(try await served(listening.port, tls) == serial(of: pair))

        let kept = try await listening.end(1)
        try await old.send("still here")
        try await kept.hears("still here")
        await old.close()
      }
    }

    @Test("a listener whose CA was replaced refuses the clients of the old one")
    func authority() async throws {
      let tls = try fixture()
      let stranger = try await OpenSSLAuthority.make(
        named: OpenSSLFixture.unique("stranger"), in: tls.directory)
      let authorities = "\(tls.directory)/\(OpenSSLFixture.unique("authorities")).pem"
      try HostFiles.write(authorities, HostFiles.text(tls.authority.certificate))
      let (registry, layer) = registry()
      let arguments = ["-CAfile", tls.authority.certificate]
      let newcomer = try await stranger.issueClient()
      try await TLSListening.run(
        "tls://127.0.0.1:0?\(tls.server.parameters)&ca=\(authorities)", with: registry
      ) { listening in
        func isLetIn(_ client: OpenSSLPair) async throws -> Bool {
          let count = listening.endCount
          return try await withClient(of: listening.port, arguments + client.arguments) { process in
            try await eventually("a verdict") {
              listening.endCount > count || ProcessStatus(pid: process.child.pid)?.isDead != false
            }
            return listening.endCount > count
          }
        }
        #expect(try await isLetIn(tls.client))
        #expect(try await !isLetIn(newcomer))
        // Both, as when a CA is about to be replaced; then the new one alone.
        try HostFiles.write(
          authorities,
          HostFiles.text(tls.authority.certificate) + HostFiles.text(stranger.certificate))
        #expect(await layer.reload().isEmpty)
        #expect(try await isLetIn(tls.client))
        #expect(try await isLetIn(newcomer))
        try HostFiles.write(authorities, HostFiles.text(stranger.certificate))
        #expect(await layer.reload().isEmpty)
        #expect(try await !isLetIn(tls.client))
        #expect(try await isLetIn(newcomer))
      }
    }

    @Test("a connector shows its new client certificate")
    func connector() async throws {
      let tls = try fixture()
      let pair = try await tls.authority.issueClient()
      let (registry, layer) = registry()
      let arguments =
        tls.server.arguments
        + ["-CAfile", tls.authority.certificate, "-Verify", "1", "-verify_return_error"]
      try await withServer(arguments) { server, port in
        let address =
          "tls://127.0.0.1:\(port)?ca=\(tls.authority.certificate)&\(pair.parameters)&resume=off"
        await (try TLSEnd.dial(address, with: registry)).close()
        let other = try await tls.authority.issueClient()
        let name = try #require(other.certificate.split(separator: "/").last).dropLast(4)
        #expect(!server.text.contains("subject=CN = \(name)\n"))
        try pair.replace(by: other)
        #expect(await layer.reload().isEmpty)
        await (try TLSEnd.dial(address, with: registry)).close()
        try await server.prints("subject=CN = \(name)\n")
      }
    }
  }
}
