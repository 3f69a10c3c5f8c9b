import ContainerdClient
import GRPCTransport
import Glibc
import Hawsepipe
import LinuxSystem
import ProcessSupervision
import RPCCore
import SandboxControl
import Testing
import TransportCore

/// `hawse serve` whose sandboxes are there already: Go's shim, behind gRPC with certificates of both sides.
@Suite(
  "hawse serve and Go's shim as a remote sandbox", .ttrpcPeers, .openSSL, .timeLimit(.minutes(5)))
struct RemoteSandboxTests {
  /// A controller process.
  private struct Server {
    let process: HawseProcess
    let address: TransportAddress
    let namespace: String

    static func start(
      _ fixture: HawseFixture, _ endpoint: TransportAddress
    ) async throws -> Server {
      let socket = "\(fixture.directory)/serve.sock"
      let config = "\(fixture.directory)/serve.toml"
      let text = """
        state = "\(fixture.state)"
        root = "\(fixture.root)"
        address = "grpc+unix://\(socket)"
        [drivers.agent]
        type = "remote"
        address = "\(endpoint.text)"
        probe = "status"
        [runtimes.peer]
        driver = "agent"
        """
      try OwnedDescriptor(opening: config, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
        .write(Array(text.utf8))
      var command = fixture.command([])
      command.arguments = ["serve", "--config", config]
      let process = try HawseProcess(
        command, files: "\(fixture.directory)/serve-\(UInt32.random(in: 0 ..< .max))")
      try await eventually("it listens") {
        process.out.contains("listening at") || ProcessStatus(pid: process.pid)?.isDead != false
      }
      try #require(process.out.contains("listening at"), "\(process.err)")
      return Server(
        process: process, address: try TransportAddress(parsing: "grpc+unix://\(socket)"),
        namespace: fixture.namespace)
    }

    func with<Value: Sendable>(
      _ body: (SandboxControlClient<RPCLine>) async throws -> Value
    ) async throws -> Value {
      let line = try await SandboxPeer.dialers.dial(
        address, using: .standard, options: ConnectOptions(timeout: .seconds(10)))
      let outcome: Result<Value, any Error>
      do {
        outcome = .success(
          try await body(SandboxControlClient(caller: line, namespace: namespace)))
      } catch {
        outcome = .failure(error)
      }
      await line.connection.close()
      return try outcome.get()
    }

    func stop() async throws {
      process.signal(SIGTERM)
      let result = try await process.result()
      #expect(result.code == 0, "\(result)")
    }
  }

  @Test("a sandbox behind gRPC and TLS is made, found again, ended and seen to die")
  func life() async throws {
    let material = try await SandboxPeer.Material.make(try #require(OpenSSLFixture.current))
    try await HawseFixture.use(.hawsepipe) { fixture in
      try await SandboxPeer.served(.grpc, material) { endpoint, peer in
        var server = try await Server.start(fixture, endpoint)
        let started = try await server.with { client in
          try await client.create("pod", runtime: "peer", annotations: ["color": "red"])
          return try await client.start("pod")
        }
        // Whom containerd hands this to has files of its own, and is told of none of ours.
        guard case .tcp(_, let port) = endpoint.place else { throw NeverHappened(what: "a port") }
        #expect(started.address == "grpc+tls://127.0.0.1:\(port)?servername=sandbox")
        #expect(started.version == 3)
        // A process of another machine.
        #expect(started.pid == 0)

        try await server.process.kill()
        server = try await Server.start(fixture, endpoint)
        let status = try await server.with { try await $0.status("pod", verbose: true) }
        #expect(status.state == .ready && status.address == started.address)
        #expect(status.version == 3 && status.info["namespace"] == fixture.namespace)
        #expect(status.info["color"] == "red")
        let shown = try await fixture.bare([
          "sandbox", "status", "--server", "\(server.address)", "--namespace", fixture.namespace,
          "--json", "pod",
        ])
        #expect(shown.code == 0 && shown.out.contains("SANDBOX_READY"), "\(shown)")

        let first = server
        let wait = Task { try await first.with { try await $0.wait("pod") } }
        try await server.with { try await $0.stop("pod", grace: .seconds(5)) }
        // Go's shim says so.
        #expect(try await wait.value.status == 3)
        #expect(try await server.with { try await $0.status("pod") }.state == .notReady)
        try await server.with { try await $0.shutdown("pod") }

        try await server.with { client in
          try await client.create("second", runtime: "peer")
          _ = try await client.start("second")
        }
        let second = Task { try await first.with { try await $0.wait("second") } }
        peer.signal(SIGKILL)
        #expect(try await second.value.status == 255)
        try await server.with { try await $0.shutdown("second") }
        try await server.stop()
        #expect(HostFiles.tree(fixture.state).filter { $0.hasSuffix("/second") } == [])
      }
    }
  }
}
