import ProcessSupervision
import TLSTransport
import Testing
import TransportCore

extension TLSOpenSSL {
  @Suite("ends, cuts and new keys")
  struct Closing {
    private func address(_ port: Int) throws -> String {
      "tls://127.0.0.1:\(port)?ca=\(try fixture().authority.certificate)"
    }

    private func expectTruncated(_ ending: TLSEnd.Ending) {
      guard case .failed(let error as TLSError) = ending else {
        Issue.record("it ended as \(ending)")
        return
      }
      #expect(error.code == .truncated)
      #expect(error.message.contains("close_notify"))
    }

    private func expectSaid(_ ending: TLSEnd.Ending) {
      guard case .said = ending else {
        Issue.record("it ended as \(ending)")
        return
      }
    }

    @Test(
      "a server that says that it is done has ended well", arguments: TLSIdentity.Version.allCases)
    func serverCloses(_ version: TLSIdentity.Version) async throws {
      let tls = try fixture()
      let option = version == .tls12 ? "-tls1_2" : "-tls1_3"
      // -rev sends each line back to front, and ends on this one.
      try await withServer(tls.server.arguments + ["-rev", option]) { _, port in
        let end = try await TLSEnd.dial(address(port))
        try await end.send("123\n")
        try await end.hears("321\n")
        try await end.send("CLOSE\n")
        expectSaid(try await end.ending())
        try await end.hears("321\n")
        await end.close()
      }
    }

    @Test("a server that is killed cuts the connection", arguments: TLSIdentity.Version.allCases)
    func serverDies(_ version: TLSIdentity.Version) async throws {
      let tls = try fixture()
      let option = version == .tls12 ? "-tls1_2" : "-tls1_3"
      try await withServer(tls.server.arguments + [option]) { server, port in
        let end = try await TLSEnd.dial(address(port))
        try await server.type("12345\n")
        try await end.hears("12345\n")
        try await server.kill()
        expectTruncated(try await end.ending())
        try await end.hears("12345\n")
        await end.close()
      }
    }

    @Test("a client that is killed cuts the connection", arguments: TLSIdentity.Version.allCases)
    func clientDies(_ version: TLSIdentity.Version) async throws {
      let tls = try fixture()
      let option = version == .tls12 ? "-tls1_2" : "-tls1_3"
      try await TLSListening.run(
        "tls://127.0.0.1:0?\(tls.server.parameters)&clientcert=none"
      ) { listening in
        try await withClient(of: listening.port, [option]) { client in
          let end = try await listening.end()
          try await client.type("12345\n")
          try await end.hears("12345\n")
          try await client.kill()
          expectTruncated(try await end.ending())
          await end.close()
        }
      }
    }

    @Test("what was written before a close arrives before the end")
    func lastBytes() async throws {
      let tls = try fixture()
      try await TLSListening.run(
        "tls://127.0.0.1:0?\(tls.server.parameters)&clientcert=none"
      ) { listening in
        try await withClient(of: listening.port, ["-ign_eof"]) { client in
          let end = try await listening.end()
          try await end.send(long)
          await end.close()
          #expect(try await client.end().isSuccess)
          #expect(client.out.contains(long))
          // What s_client prints of a close_notify.
          #expect(client.text.contains("closed"))
        }
      }
    }

    @Test("new keys in the middle of a connection go unnoticed, from either side")
    func newKeys() async throws {
      let tls = try fixture()
      try await withServer(tls.server.arguments + ["-tls1_3"]) { server, port in
        let end = try await TLSEnd.dial(address(port))
        var heard = ""
        // K asks for new keys of both sides, k gives its own only.
        for (command, text) in [("K", "123\n"), ("k", "456\n"), ("K", "789\n")] {
          try await server.type("\(command)\n")
          try await end.send(text)
          try await server.prints(text)
          try await server.type("0\(text)")
          heard += "0\(text)"
          try await end.hears(heard)
        }
        await end.close()
        try await server.prints("DONE\n")
      }
      try await TLSListening.run(
        "tls://127.0.0.1:0?\(tls.server.parameters)&clientcert=none"
      ) { listening in
        try await withClient(of: listening.port, ["-tls1_3"]) { client in
          let end = try await listening.end()
          try await client.type("K\n")
          try await client.prints("KEYUPDATE\n")
          try await client.type("123\n")
          try await end.hears("123\n")
          try await end.send("456\n")
          try await client.prints("456\n")
        }
      }
    }

    @Test("a TLS 1.2 client that wants to renegotiate does not get it")
    func renegotiation() async throws {
      let tls = try fixture()
      try await TLSListening.run(
        "tls://127.0.0.1:0?\(tls.server.parameters)&clientcert=none"
      ) { listening in
        try await withClient(of: listening.port, ["-tls1_2"]) { client in
          let end = try await listening.end()
          try await client.type("R\n")
          try await client.prints("RENEGOTIATING\n")
          #expect(try await client.end() == .exited(1))
          #expect(client.text.contains("no renegotiation"), "\(client.text)")
          _ = try await end.ending()
          await end.close()
        }
      }
    }
  }
}
