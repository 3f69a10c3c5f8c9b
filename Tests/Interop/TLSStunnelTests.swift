import ContainerdClient
import Hawsepipe
import NIOCore
import ProcessSupervision
import TTRPC
import TLSTransport
import Testing
import TransportCore

extension RealShim {
  @Suite("behind stunnel", .openSSL)
  struct BehindTLS {
    private static func profile(_ tls: OpenSSLFixture) -> String {
      """
      {"ca": "\(tls.authority.certificate)", "cert": "\(tls.client.certificate)",
       "key": "\(tls.client.key)"}
      """
    }

    private func socket(_ hawse: HawseFixture) async throws -> String {
      let address = try #require(try await hawse.sandboxes().first?.sandbox.address)
      return String(try #require(address.split(separator: "unix://").last))
    }

    @Test("answers our client's calls, and nobody's without a certificate", .timeLimit(.minutes(5)))
    func calls() async throws {
      let tls = try #require(OpenSSLFixture.current)
      try await HawseFixture.use { hawse in
        try await hawse.sandbox("pod1")
        try await Stunnel.run(
          "127.0.0.1:0", before: "connect = \(try await socket(hawse))", tls
        ) { stunnel in
          let port = try await stunnel.port(after: "bound to 127.0.0.1:")
          let registry = TransportRegistry.standard
          let place = "127.0.0.1:\(port)?ca=\(tls.authority.certificate)"
          let address = try registry.parse("ttrpc+tls://\(place)&\(tls.client.parameters)")
          let options = ConnectOptions(timeout: .seconds(60), tryLimit: .seconds(60))
          let shim = try #require(hawse.shims.first)
          try await withTTRPCClient(to: address, using: registry, options: options) { client in
            let tasks = try TaskClient(caller: client, version: 2, namespace: hawse.namespace)
            let connection = try await tasks.connect("pod1", timeout: .seconds(60))
            #expect(connection.shimPID == UInt32(shim))
            let state = try await tasks.state("pod1", timeout: .seconds(60))
            #expect(state.status == .running)
            #expect(state.pid == connection.taskPID)
          }
          let anonymous = try await TLSEnd.refusal("tls://\(place)")
          #expect(anonymous.code == .refusedByPeer)
          #expect(anonymous.message.contains("the server wants a client certificate"))
        }
      }
    }

    @Test("tasks are attached through TLS and run", .timeLimit(.minutes(5)))
    func tasks() async throws {
      let tls = try #require(OpenSSLFixture.current)
      try await HawseFixture.use { hawse in
        try await hawse.sandbox("pod1")
        try await Stunnel.run(
          "127.0.0.1:0", before: "connect = \(try await socket(hawse))", tls
        ) { stunnel in
          let port = try await stunnel.port(after: "bound to 127.0.0.1:")
          // What is recorded names no files.
          let profile = try hawse.file("tls.json", Array(Self.profile(tls).utf8))
          let shims = hawse.shims
          let task = try await hawse.hawse(
            "task", "run", "--sandbox", "pod1", "--address", "ttrpc+tls://127.0.0.1:\(port)",
            "--api-version", "2", "--rootfs", hawse.rootfs, "--id", "one", "--", "sh", "-c",
            "echo here; exit 7", environment: ["HAWSE_TLS_PROFILE=\(profile)"])
          #expect(task.code == 7, "\(task)")
          #expect(task.out == "here\n", "\(task)")
          #expect(hawse.shims == shims)
        }
      }
    }
  }
}
