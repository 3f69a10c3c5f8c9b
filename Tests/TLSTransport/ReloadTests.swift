import Synchronization
import TLSTransport
import Testing
import TransportCore
import UnixTransport

@Suite struct ReloadTests {
  private func serverNames(_ pki: TestPKI, _ client: TLSConfiguration) async throws -> [String] {
    let connection = try await connect(pki, client)
    defer { Task { await connection.close() } }
    return connection.tls?.dnsNames ?? []
  }

  @Test("A listener takes a new certificate into use by itself, without a restart")
  func certificate() async throws {
    let pki = try TestPKI()
    let client = pki.client { $0.peerNames = [.dns("build-7.example"), .dns("build-9.example")] }
    try await withServer(pki, pki.server()) { _ in
      let old = try await connect(pki, client)
      #expect(old.tls?.dnsNames == ["build-7.example"])
      try pki.issue("server", .server, [.dns("build-9.example")])
      try await eventually("new connections see the new certificate") {
        try await serverNames(pki, client) == ["build-9.example"]
      }
      #expect(try await old.echo("still here") == "still here")
      await old.close()
    }
  }

  @Test("A connector takes a new CA and a new certificate into use by itself")
  func authority() async throws {
    let pki = try TestPKI()
    let other = try PrivateAuthority(commonName: "other CA")
    try pki.issue("server", .server, [.dns("build-7.example")], by: other)
    let layer = TLSLayer(pki.client())
    try await withServer(pki, pki.server { $0.clientCertificates = .optional }) { _ in
      let error = try await refusal { try await connect(pki, pki.client(), layer: layer) }
      #expect(error.code == .certificateRefused)
      try pki.directory.write("ca.pem", pki.authority.certificate + other.certificate)
      try await eventually("the server is accepted") {
        do {
          await (try connect(pki, pki.client(), layer: layer)).close()
          return true
        } catch {
          return false
        }
      }
    }
  }

  @Test("Bad new files leave the last good ones in use, and the reason can be asked for")
  func keepsLastGood() async throws {
    let pki = try TestPKI()
    let layer = TLSLayer(pki.server())
    try await layer.checkListening(at: pki.address())
    let credentials = try #require(layer.credentials.first)
    #expect(credentials.problem == nil)
    let pair = try pki.authority.issue(.server, names: [.dns("build-7.example")])
    try pki.directory.write("server.pem", pair.certificate)
    let problems = await layer.reload()
    #expect(problems.count == 1)
    #expect(problems.first?.message.contains("does not fit") == true)
    #expect(problems.first?.message.contains(pki.path("server.key")) == true)
    #expect(credentials.problem != nil)
    #expect(credentials.reloads == 0)
    try pki.directory.write("server.key", pair.key)
    #expect(await layer.reload().isEmpty)
    #expect(credentials.problem == nil)
    #expect(credentials.reloads == 1)
  }

  @Test("A listener with bad new files goes on with the old ones")
  func listenerKeepsLastGood() async throws {
    let pki = try TestPKI()
    let layer = TLSLayer(pki.server())
    let address = pki.address()
    let inner = try UnixListener(bindingTo: address.inner)
    let listener = try await layer.listener(over: inner, at: address, options: ListenOptions())
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await listener.run { _ in
        } onConnection: {
          await $0.closed()
        }
      }
      try pki.directory.write("server.pem", Array("nonsense".utf8))
      try await eventually("it has been looked at") { layer.credentials[0].problem != nil }
      #expect(layer.credentials[0].problem?.message.contains(pki.path("server.pem")) == true)
      #expect(try await serverNames(pki, pki.client()) == ["build-7.example"])
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  @Test("It can be asked when the certificates expire")
  func expirations() async throws {
    let pki = try TestPKI()
    let layer = TLSLayer(pki.server())
    try await layer.checkListening(at: pki.address())
    let expirations = try #require(layer.credentials.first?.expirations)
    #expect(expirations.map(\.role) == [.own, .authority])
    #expect(expirations.map(\.subject) == ["CN=server", "CN=test CA"])
    #expect(expirations[0].notAfter < expirations[1].notAfter)
  }
}
