import ContainerdAPI
import ContainerdClient
import GRPCTransport
import Glibc
import Hawsepipe
import RPCCore
import SandboxControl
import Testing
import TransportCore

/// One `hawse serve` after the other behind a socket that a service manager holds.
@Suite("hawse serve, restarted")
struct HawseServeRestartTests {
  @Test(
    "calls that come while no server is there wait in the socket, and the next one answers them")
  func restart() async throws {
    try await HawseFixture.use(.hawsepipe) { try await Self.restart($0) }
  }

  private static func restart(_ fixture: HawseFixture) async throws {
    fixture.note("pod")
    let socket = try OwnSocket("\(fixture.directory)/a.sock")
    let activation = HawseActivation(path: socket.path, descriptors: [socket.number])
    var server = try await HawseServer.start(fixture, activation: activation)
    let caller = GRPCRedialingClient(
      to: try TransportAddress(parsing: "grpc+unix://\(socket.path)"), using: .standard,
      configuration: .init(waitsUntilReady: true))
    let control = SandboxControlClient(caller: caller, namespace: fixture.namespace)
    try await control.create("pod", runtime: "io.containerd.hawsepipe.v1", timeout: .seconds(60))
    let started = try await control.start("pod", timeout: .seconds(60))
    for _ in 0..<2 {
      try await server.stop()
      let calls = (0..<8).map { _ in
        Task { try await control.status("pod", timeout: .seconds(60)) }
      }
      server = try await HawseServer.start(fixture, activation: activation)
      for call in calls {
        let status = try await call.value
        #expect(status.state == .ready && status.address == started.address)
      }
    }
    try await control.shutdown("pod", timeout: .seconds(60))
    await caller.close()
    try await server.stop()
  }

  @Test("stopped and started while many call, it loses no call of anybody")
  func busy() async throws {
    try await HawseFixture.use(.hawsepipe) { try await Self.busy($0) }
  }

  private static func busy(_ fixture: HawseFixture) async throws {
    let ids = ["pod-0", "pod-1"]
    for id in ids { fixture.note(id) }
    let socket = try OwnSocket("\(fixture.directory)/a.sock")
    let activation = HawseActivation(path: socket.path, descriptors: [socket.number])
    var server = try await HawseServer.start(fixture, activation: activation)
    let caller = GRPCRedialingClient(
      to: try TransportAddress(parsing: "grpc+unix://\(socket.path)"), using: .standard,
      configuration: .init(waitsUntilReady: true))
    let callers = Callers(caller, namespace: fixture.namespace)
    let calling = Task {
      await withTaskGroup { group in
        for _ in 0..<4 { group.addTask { await callers.ask() } }
        for id in ids { group.addTask { await callers.live(id) } }
      }
    }
    for _ in 0..<3 {
      let (asked, lived) = (callers.asked.value, callers.lived.value)
      try await eventually("calls are made", within: .seconds(60)) {
        !callers.failures.value.isEmpty
          || callers.asked.value > asked + 100 && callers.lived.value > lived
      }
      try await server.stop()
      server = try await HawseServer.start(fixture, activation: activation)
    }
    callers.stop()
    await calling.value
    #expect(callers.failures.value == [], "\(server.process.err.suffix(4000))")
    await caller.close()
    try await server.stop()
  }

  /// Calls that go on until they are told to stop, or one fails.
  private final class Callers: Sendable {
    let control: SandboxControlClient<GRPCRedialingClient>
    let health: Grpc_Health_V1_HealthClient<GRPCRedialingClient>
    private let isDone = Guarded(false)
    let asked = Guarded(0)
    let lived = Guarded(0)
    let failures = Guarded<[String]>([])

    init(_ caller: GRPCRedialingClient, namespace: String) {
      control = SandboxControlClient(caller: caller, namespace: namespace)
      health = Grpc_Health_V1_HealthClient(caller: caller)
    }

    func ask() async {
      while !isDone.value, failures.value.isEmpty {
        do {
          _ = try await health.check(.init(), options: RPCCallOptions(timeout: .seconds(60)))
          asked.update { $0 += 1 }
        } catch {
          failures.update { $0.append("check: \(error)") }
        }
      }
    }

    func live(_ id: String) async {
      while !isDone.value, failures.value.isEmpty {
        do {
          try await control.create(id, runtime: "io.containerd.hawsepipe.v1", timeout: .seconds(60))
          _ = try await control.start(id, timeout: .seconds(60))
          try await control.shutdown(id, timeout: .seconds(60))
          lived.update { $0 += 1 }
        } catch {
          failures.update { $0.append("\(id): \(error)") }
        }
      }
    }

    func stop() { isDone.set(true) }
  }
}
