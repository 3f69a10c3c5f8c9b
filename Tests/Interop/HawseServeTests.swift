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
  private typealias Server = HawseServer

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

  @Test("its events are told: sandboxes' and their tasks', also of a shim that was killed")
  func events() async throws {
    try await HawseFixture.use(.hawsepipe) { try await Self.events(of: $0) }
  }

  private static func events(of fixture: HawseFixture) async throws {
    for id in ["pod", "web"] { fixture.note(id) }
    let server = try await Server.start(fixture)
    let all = try listener(server)
    let exits = try listener(
      server, "--filter", "namespace==\(fixture.namespace),topic~=/exit$/")
    try await subscribed([all, exits], server)
    try await server.with { client in
      try await client.create("pod", runtime: "io.containerd.hawsepipe.v1")
      _ = try await client.start("pod")
    }
    let run = try await fixture.hawse(
      "task", "run", "--sandbox", "pod", "--own-namespaces", "--rootfs", fixture.rootfs, "--id",
      "web", "--detach", "--", "sleep", "3600")
    try #require(run.code == 0, "\(run)")
    for shim in fixture.shims { kill(shim, SIGKILL) }
    for process in [all, exits] {
      for topic in ["/sandboxes/exit", "/tasks/exit"] {
        try await eventually("\(topic) is told") { times(topic, process) > 0 }
      }
    }
    for topic in [
      "/sandboxes/create", "/sandboxes/start", "/sandboxes/exit", "/tasks/create", "/tasks/start",
      "/tasks/exit",
    ] {
      #expect(times(topic, all) == 1, "\(topic): \(all.out)")
    }
    for topic in ["/sandboxes/create", "/tasks/create", "/tasks/delete"] {
      #expect(times(topic, exits) == 0, "\(topic): \(exits.out)")
    }
    try await server.with { try await $0.shutdown("pod") }
    // A listener is told that its server goes.
    try await server.stop()
    for process in [all, exits] {
      let end = try await process.result()
      #expect(end.code == 1 && end.err.contains("Unavailable"), "\(end)")
    }
  }

  private static func listener(
    _ server: Server, _ filter: String...
  ) throws -> HawseProcess {
    var command = server.fixture.command([])
    command.arguments = ["events", "--json", "--address", server.address] + filter
    return try server.fixture.start(command)
  }

  private static func times(_ topic: String, _ listener: HawseProcess) -> Int {
    let lines = listener.out.replacing("\\/", with: "/").split(separator: "\n")
    return lines.count { $0.contains("\"\(topic)\"") }
  }

  /// Nobody says when a subscription has begun: something is published until it is told.
  private static func subscribed(_ listeners: [HawseProcess], _ server: Server) async throws {
    try await eventually("all listen") {
      let published = try await server.fixture.bare([
        "call", "--namespace", server.fixture.namespace, server.address,
        "containerd.services.events.v1.Events/Publish", "--data", #"{"topic": "/test/exit"}"#,
      ])
      #expect(published.code == 0, "\(published)")
      return listeners.allSatisfy { times("/test/exit", $0) > 0 }
    }
  }
}
