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
}
