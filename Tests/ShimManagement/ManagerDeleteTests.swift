import ContainerdClient
import RPCCore
import ShimTestKit
import Testing

@testable import ShimManagement

@Suite("Deleting tasks")
struct ManagerDeleteTests {
  @Test(
    "an attached task: Delete, then Shutdown, which shims ignore while they have tasks",
    arguments: [2, 3])
  func attached(_ version: Int) async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [version])
    let task = try await fixture.attach("web", to: shim, version: version)
    let exit = try await fixture.manager.delete(task)
    #expect(exit?.status == 7)
    #expect(shim.calls == ["v\(version) Delete web", "v\(version) Shutdown web"])
    #expect(!fixture.hasBundle("web"))
    #expect(!exists(fixture.scratch.state.workPath(namespace: "tests", id: "web")))
    await shim.die()
  }

  @Test(
    "as containerd did from 2.0.6 to 2.3, Shutdown can be kept from a sandbox of version 3",
    arguments: [2, 3])
  func withoutShutdown(_ version: Int) async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [version])
    var configuration = fixture.manager.configuration
    configuration.asksSandboxesToShutDown = false
    let manager = try ShimManager(configuration)
    let task = try await manager.attach(
      fixture.request("web", at: shim.address, version: version))
    try await manager.delete(task)
    #expect(shim.calls(of: "Shutdown") == (version == 2 ? ["v2 Shutdown web"] : []))
    await shim.die()
  }

  @Test("a task with a shim of its own: Shutdown in any version", arguments: [2, 3])
  func own(_ version: Int) async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [version])
    let binary = try fixture.binary(
      start:
        #"printf '{"version":\#(version),"address":"unix://\#(shim.path)","protocol":"ttrpc"}'"#)
    let task = try await fixture.start("web", binary: binary)
    #expect(try await fixture.manager.delete(task)?.status == 7)
    #expect(shim.calls(of: "Delete") == ["v\(version) Delete web"])
    #expect(shim.calls(of: "Shutdown") == ["v\(version) Shutdown web"])
    #expect(shim.calls.last == "v\(version) Shutdown web")
    #expect(!fixture.hasBundle("web"))
    // Deleted through its shim: nothing was left for the binary.
    #expect(try fixture.runs(of: binary, "delete") == [])
    await shim.die()
  }

  @Test("a task that the shim does not know counts as deleted")
  func unknown() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(answers: ["Delete": .failure(.notFound)])
    let task = try await fixture.attach("web", to: shim)
    #expect(try await fixture.manager.delete(task) == nil)
    #expect(!fixture.hasBundle("web"))
    await shim.die()
  }

  @Test(
    "any other error of the shim removes nothing, and deleting can be tried again",
    arguments: [RPCCode.failedPrecondition, .internal, .unknown, .unavailable])
  func refused(_ code: RPCCode) async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(answers: ["Delete": .failure(code, "it still runs")])
    let task = try await fixture.attach("web", to: shim)
    let before = tree(task.bundle.path)
    let error = await asyncFailure { try await fixture.manager.delete(task) }
    #expect(error?.code == .callFailed)
    #expect(error?.description.contains("it still runs") == true)
    #expect(tree(task.bundle.path) == before)
    #expect(shim.calls(of: "Shutdown") == [])
    shim.answer("Delete", with: .success)
    #expect(try await fixture.manager.delete(task)?.status == 7)
    #expect(!fixture.hasBundle("web"))
    await shim.die()
  }

  @Test("a sandbox with tasks is busy until they are gone")
  func busy() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    try fixture.sandbox(at: shim)
    let web = try await fixture.attach("web", to: shim)
    let sandbox = try await fixture.manager.load(namespace: ManagerFixture.namespace, id: "pod")
    let error = await asyncFailure { try await fixture.manager.delete(sandbox) }
    #expect(error?.code == .busy)
    #expect(error?.description.contains("web is attached") == true, "\(error as Any)")
    #expect(shim.calls == [])
    #expect(fixture.hasBundle("pod") && fixture.hasBundle("web"))
    try await fixture.manager.delete(web)
    #expect(try await fixture.manager.delete(sandbox)?.status == 7)
    #expect(!fixture.hasBundle("pod"))
    await shim.die()
  }

  @Test("a shim that does not answer Shutdown keeps nobody for longer than its limit")
  func muteShutdown() async throws {
    let fixture = try ManagerFixture(limits: { $0.shutdown = .milliseconds(100) })
    let shim = try fixture.shim(answers: ["Shutdown": .never])
    let task = try await fixture.attach("web", to: shim)
    #expect(try await fixture.manager.delete(task)?.status == 7)
    #expect(!fixture.hasBundle("web"))
    await shim.die()
  }

  @Test("the other tasks of a connection do not notice that one was deleted")
  func others() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let one = try await fixture.attach("one", to: shim)
    let two = try await fixture.attach("two", to: shim)
    try await fixture.manager.delete(one)
    _ = try await two.connect()
    try await eventually("1 accepted") { shim.connections == 1 }
    try await fixture.manager.delete(two)
    await shim.die()
  }
}
