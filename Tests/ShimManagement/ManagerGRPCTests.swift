import ContainerdAPI
import ContainerdClient
import GRPCTransport
import RPCCore
import ShimProtocol
import ShimTestKit
import Testing
import TransportCore

@testable import ShimManagement

@Suite("Shims that are spoken to by gRPC")
struct ManagerGRPCTests {
  private static func fixture(
    limits: @escaping (inout ShimManager.Limits) -> Void = { _ in }
  ) throws -> (ManagerFixture, GRPCShim) {
    let fixture = try ManagerFixture(limits: limits, dialers: RPCDialers([GRPCDialer()]))
    return (fixture, try GRPCShim(at: fixture.socket()))
  }

  private static func sandbox(
    _ fixture: ManagerFixture, on shim: GRPCShim
  ) async throws -> ShimSandbox {
    try await fixture.manager.createSandbox(
      ShimManager.SandboxRequest(
        namespace: ManagerFixture.namespace, id: "pod",
        runtime: try fixture.binary(start: shim.start)))
  }

  @Test("a sandbox and a task in it live and end, over one connection")
  func life() async throws {
    let (fixture, shim) = try Self.fixture(limits: { $0.shutdown = .milliseconds(200) })
    let sandbox = try await Self.sandbox(fixture, on: shim)
    #expect(sandbox.address == shim.address)
    #expect(try await sandbox.start().pid == 4243)
    #expect(try await sandbox.status().isReady)
    let task = try await fixture.manager.attach(
      ShimManager.AttachRequest(
        namespace: ManagerFixture.namespace, id: "web", sandboxID: "pod", mode: .version3,
        spec: minimalSpec))
    #expect(
      try task.bundle.files.readBootstrapParams()
        == BootstrapParams(version: 3, address: "unix://\(shim.path)", protocolName: "grpc"))
    #expect(
      try await task.create(TaskCreation(id: "web", bundle: task.bundle.path)) == 4242)
    #expect(try await task.start() == 4242)
    #expect(try await task.wait().status == 7)
    #expect(shim.openConnections == 1)
    _ = try await fixture.manager.delete(task)
    #expect(!fixture.hasBundle("web"))
    try await sandbox.stop()
    #expect(try await sandbox.wait().status == 0)
    try await fixture.manager.shutDown(sandbox)
    #expect(!fixture.hasBundle("pod"))
    #expect(shim.calls(of: "ShutdownSandbox") == ["ShutdownSandbox pod"])
    #expect(shim.namespaces == [ManagerFixture.namespace])
    await shim.die()
  }

  @Test("a restart finds both again, and a shim that has died meanwhile is cleaned up after")
  func restore() async throws {
    let (fixture, shim) = try Self.fixture()
    let sandbox = try await Self.sandbox(fixture, on: shim)
    try await sandbox.start()
    let task = try await fixture.manager.attach(
      ShimManager.AttachRequest(
        namespace: ManagerFixture.namespace, id: "web", sandboxID: "pod", mode: .version3,
        spec: minimalSpec))
    await fixture.manager.release(task)
    await fixture.manager.release(sandbox)

    let second = try ShimManager(fixture.manager.configuration)
    let report = try await second.restore()
    #expect(report.entries.map(\.outcome) == [.restored, .restored])
    for task in report.tasks { await second.release(task) }
    for sandbox in report.sandboxes { await second.release(sandbox) }
    await shim.die()

    let third = try ShimManager(fixture.manager.configuration)
    #expect(try await third.restore().entries.map(\.outcome) == [.cleanedUp, .cleanedUp])
    #expect(!fixture.hasBundle("pod") && !fixture.hasBundle("web"))
  }

  @Test("a shim that dies ends its task and then its sandbox, each told once")
  func death() async throws {
    let (fixture, shim) = try Self.fixture()
    let sandbox = try await Self.sandbox(fixture, on: shim)
    try await sandbox.start()
    _ = try await fixture.manager.attach(
      ShimManager.AttachRequest(
        namespace: ManagerFixture.namespace, id: "web", sandboxID: "pod", mode: .version3,
        spec: minimalSpec))
    let events = Collected(fixture.manager.events())
    let waiting = Task { await asyncFailure { _ = try await sandbox.wait() } }
    await shim.die()
    #expect(await waiting.value?.code == .shimDied)
    try await eventually("all is told") { events.all.count == 3 }
    await fixture.manager.settle()
    #expect(events.all.map(\.topic) == ["/tasks/exit", "/tasks/delete", "/sandboxes/exit"])
  }

  @Test("a wait outlives the loss of the connection while the shim lives")
  func waits() async throws {
    let (fixture, shim) = try Self.fixture(limits: { $0.lastWords = .milliseconds(50) })
    let sandbox = try await Self.sandbox(fixture, on: shim)
    try await sandbox.start()
    let waiting = Task { try await sandbox.wait() }
    for round in 1...3 {
      // The manager's own wait, and this one.
      try await eventually("both wait") { shim.calls(of: "WaitSandbox").count == 2 * round }
      if round < 3 { shim.dropConnections() }
    }
    shim.endSandbox(status: 9)
    #expect(try await waiting.value.status == 9)
    await fixture.manager.release(sandbox)
    await shim.die()
    await fixture.manager.settle()
  }

  @Test("a manager that has no gRPC says so, and leaves nothing")
  func noDialer() async throws {
    let fixture = try ManagerFixture()
    let shim = try GRPCShim(at: fixture.socket())
    let error = await asyncFailure { _ = try await Self.sandbox(fixture, on: shim) }
    #expect(error?.code == .attachFailed, "\(error as Any)")
    #expect(error?.description.contains("grpc") == true, "\(error as Any)")
    #expect(!fixture.hasBundle("pod"))
    await shim.die()
  }
}
