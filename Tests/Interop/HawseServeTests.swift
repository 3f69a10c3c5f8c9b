import ContainerdClient
import GRPCTransport
import Glibc
import Hawsepipe
import ProcessSupervision
import RPCCore
import SandboxControl
import ShimManagement
import TTRPC
import Testing
import TransportCore

/// `hawse serve` with our shim, driven by our own client over gRPC.
@Suite("hawse serve")
struct HawseServeTests {
  /// A controller process, and the way to it.
  private struct Server {
    let fixture: HawseFixture
    let process: HawseProcess
    let address: String

    static func start(_ fixture: HawseFixture) async throws -> Server {
      let config = "\(fixture.directory)/serve.toml"
      if !HostFiles.exists(config) {
        try write(
          """
          state = "\(fixture.state)"
          root = "\(fixture.root)"
          [drivers.shim]
          type = "shim"
          binary = "\(HostFiles.ourShim)"
          """, to: config)
      }
      var command = fixture.command([])
      command.arguments = ["serve", "--config", config]
      let process = try HawseProcess(
        command, files: "\(fixture.directory)/serve-\(UInt32.random(in: 0 ..< .max))")
      try await eventually("it listens") {
        process.out.contains("listening at") || ProcessStatus(pid: process.pid)?.isDead != false
      }
      try #require(process.out.contains("listening at"), "\(process.err)")
      return Server(
        fixture: fixture, process: process,
        address: "grpc+unix://\(fixture.state)/control/grpc.sock")
    }

    func with<Value: Sendable>(
      _ body: (SandboxControlClient<RPCLine>) async throws -> Value
    ) async throws -> Value {
      let dialers = RPCDialers([GRPCDialer()])
      let line = try await dialers.dial(
        TransportAddress(parsing: address), using: .standard,
        options: ConnectOptions(timeout: .seconds(10)))
      let outcome: Result<Value, any Error>
      do {
        outcome = .success(
          try await body(SandboxControlClient(caller: line, namespace: fixture.namespace)))
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

  private static func write(_ text: String, to path: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    try #require(file >= 0)
    defer { close(file) }
    let bytes = Array(text.utf8)
    try #require(Glibc.write(file, bytes, bytes.count) == bytes.count)
  }

  /// A container's life in the sandbox, by its address alone.
  private static func ping(_ instance: SandboxInstance, _ fixture: HawseFixture) async throws {
    let plus = try #require(instance.address.firstIndex(of: "+"))
    let address = try TransportAddress(
      protocolName: String(instance.address[..<plus]),
      shimAddress: String(instance.address[instance.address.index(after: plus)...]))
    let client = try await TTRPCClient.connect(to: address, using: .standard)
    let tasks = try TaskClient(
      caller: client, version: Int(instance.version), namespace: fixture.namespace)
    let pid = try await tasks.connect("pod", timeout: .seconds(10)).shimPID
    await client.close()
    #expect(pid != 0)
  }

  @Test("a sandbox lives through kills and stops of its controller, and nothing is left")
  func life() async throws {
    try await HawseFixture.use(.hawsepipe) { fixture in
      fixture.note("pod")
      var server = try await Server.start(fixture)
      let started = try await server.with { client in
        try await client.create("pod", runtime: "io.containerd.hawsepipe.v1")
        return try await client.start("pod")
      }
      #expect(started.address.hasPrefix("ttrpc+unix:///"))
      #expect(started.version == 3)
      #expect(started.pid != 0)
      try await Self.ping(started, fixture)

      try await server.process.kill()
      server = try await Server.start(fixture)
      let found = try await server.with { try await $0.status("pod", verbose: true) }
      #expect(found.state == .ready)
      #expect(found.address == started.address)
      #expect(found.version == 3)
      #expect(found.pid == started.pid)
      try await Self.ping(started, fixture)

      // A wait is told to come back when the controller stops, and comes back.
      let first = server
      let wait = Task { try await first.with { try await $0.wait("pod") } }
      try await Task.sleep(for: .milliseconds(200))
      try await server.stop()
      await #expect(throws: RPCError.self) { try await wait.value }
      server = try await Server.start(fixture)
      let second = server
      let again = Task { try await second.with { try await $0.wait("pod") } }
      try await server.with { try await $0.stop("pod") }
      #expect(try await again.value.status == 0)
      #expect(try await server.with { try await $0.status("pod") }.state == .notReady)
      try await server.with { try await $0.shutdown("pod") }
      await #expect(throws: RPCError.self) {
        _ = try await server.with { try await $0.status("pod") }
      }
      #expect(!HostFiles.exists(fixture.bundle("pod")))
      try await server.stop()
    }
  }

  @Test("a shim that is killed ends its sandbox, whoever noticed")
  func shimKilled() async throws {
    try await HawseFixture.use(.hawsepipe) { fixture in
      fixture.note("pod")
      let server = try await Server.start(fixture)
      try await server.with { client in
        try await client.create("pod", runtime: "io.containerd.hawsepipe.v1")
        _ = try await client.start("pod")
      }
      let wait = Task { try await server.with { try await $0.wait("pod") } }
      for shim in fixture.shims { kill(shim, SIGKILL) }
      #expect(try await wait.value.status == 255)
      try await server.with { try await $0.stop("pod") }
      try await server.with { try await $0.shutdown("pod") }
      #expect(!HostFiles.exists(fixture.bundle("pod")))
      try await server.stop()
    }
  }

  @Test("the second controller of a state directory says who holds it")
  func second() async throws {
    try await HawseFixture.use(.hawsepipe) { fixture in
      let server = try await Server.start(fixture)
      let result = try await fixture.bare([
        "serve", "--config", "\(fixture.directory)/serve.toml",
      ])
      #expect(result.code == 1)
      #expect(
        result.err.contains("held by hawse serve (process \(server.process.pid)"), "\(result)")
      try await server.stop()
    }
  }

  @Test("the command line asks the controller, and the sandbox itself without one")
  func commandLine() async throws {
    try await HawseFixture.use(.hawsepipe) { fixture in
      fixture.note("pod")
      let server = try await Server.start(fixture)
      try await server.with { client in
        try await client.create("pod", runtime: "io.containerd.hawsepipe.v1")
        _ = try await client.start("pod")
      }
      for isServed in [true, false] {
        if !isServed { try await server.stop() }
        let status = try await fixture.hawse("sandbox", "status", "--json", "pod")
        #expect(status.code == 0 && status.out.contains("SANDBOX_READY"), "\(status)")
        #expect(status.out.contains("hawsepipe.driver") == isServed)
        #expect(try await fixture.hawse("sandbox", "ping", "pod").code == 0)
        let metrics = try await fixture.hawse("sandbox", "metrics", "pod")
        #expect(metrics.code == 0 && metrics.out.contains("\"timestamp\""), "\(metrics)")
      }
      #expect(try await fixture.hawse("sandbox", "stop", "pod").out == "pod\n")
      #expect(try await fixture.hawse("sandbox", "wait", "pod").out == "0\n")
      let unknown = try await fixture.hawse("sandbox", "status", "nobody")
      #expect(unknown.code == 1 && unknown.err.contains("no sandbox nobody"), "\(unknown)")
      let last = try await Server.start(fixture)
      try await last.with { try await $0.shutdown("pod") }
      try await last.stop()
    }
  }
}
