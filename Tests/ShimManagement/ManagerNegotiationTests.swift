import ContainerdClient
import RPCCore
import ShimProtocol
import ShimTestKit
import Testing

@testable import ShimManagement

@Suite("The version of the task API that is spoken")
struct ManagerNegotiationTests {
  private func creation(_ task: ShimTask) -> TaskCreation {
    TaskCreation(id: task.id, bundle: task.bundle.path)
  }

  @Test("a shim that does not know version 3 is spoken to in version 2, and that is remembered")
  func falls() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [2])
    let task = try await fixture.attach("web", to: shim, version: 3)
    // The Connect of the attach has shown it.
    #expect(task.version == 2)
    #expect(try await task.create(creation(task)) == 4242)
    try await task.start()
    #expect(shim.calls == ["v2 Create web", "v2 Start web"])
    #expect(
      try task.bundle.files.readBootstrapParams()
        == BootstrapParams(version: 2, address: "unix://\(shim.path)", protocolName: "ttrpc"))
    await fixture.manager.release(task)
    // Who takes the task up later need not find out again.
    let later = try await fixture.manager.load(namespace: ManagerFixture.namespace, id: "web")
    #expect(later.version == 2)
    await fixture.manager.release(later)
    await shim.die()
  }

  @Test("creating a task negotiates, too, where Connect could not tell")
  func create() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(
      versions: [2], answers: ["Connect": .failure(.unimplemented, "method Connect")])
    let task = try await fixture.attach("web", to: shim, version: 3)
    #expect(task.version == 3)
    #expect(try await task.create(creation(task)) == 4242)
    #expect(task.version == 2)
    #expect(try task.bundle.files.readBootstrapParams().version == 2)
    await fixture.manager.release(task)
    await shim.die()
  }

  @Test("a version that is served is kept", arguments: [2, 3])
  func kept(_ version: Int) async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [2, 3])
    let task = try await fixture.attach("web", to: shim, version: version)
    _ = try await task.create(creation(task))
    #expect(task.version == version)
    #expect(shim.calls == ["v\(version) Create web"])
    #expect(try task.bundle.files.readBootstrapParams().version == version)
    await fixture.manager.release(task)
    await shim.die()
  }

  @Test("a shim that serves neither version is reported by its first answer, and stays at 3")
  func neither() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [])
    let task = try await fixture.attach("web", to: shim, version: 3)
    let error = await asyncFailure { _ = try await task.create(creation(task)) }
    #expect(error?.code == .callFailed)
    #expect(error?.description.contains("containerd.task.v3.Task") == true, "\(error as Any)")
    #expect(task.version == 3)
    #expect(try task.bundle.files.readBootstrapParams().version == 3)
    await fixture.manager.release(task)
    await shim.die()
  }

  @Test("an answer of another kind in version 2 is what is reported")
  func secondAnswer() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(
      versions: [2], answers: ["Create": .failure(.internal, "runc create failed")])
    let task = try await fixture.attach("web", to: shim, version: 3)
    let error = await asyncFailure { _ = try await task.create(creation(task)) }
    #expect(error?.description.contains("runc create failed") == true, "\(error as Any)")
    await fixture.manager.release(task)
    await shim.die()
  }
}
