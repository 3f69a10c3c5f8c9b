import ContainerdClient
import Glibc
import RPCCore
import ShimProtocol
import Synchronization
import ShimTestKit
import Testing
import TransportCore
import UnixTransport

@testable import ShimManagement

@Suite("Attaching tasks to a sandbox that runs")
struct ManagerAttachTests {
  @Test("a given address and version: the bundle has what containerd's has, and no binary is run")
  func given() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [3])
    let task = try await fixture.attach("web", to: shim, version: 3)
    #expect(task.joined == .attached)
    #expect(task.sandboxID == "pod")
    #expect(task.version == 3)
    #expect(task.address == shim.address)
    let files = task.bundle.files
    #expect(try files.readSandboxID() == "pod")
    #expect(try files.readConfig() == minimalSpec)
    #expect(
      try files.readBootstrapParams()
        == BootstrapParams(version: 3, address: "unix://\(shim.path)", protocolName: "ttrpc"))
    #expect(mode("\(task.bundle.path)/bootstrap.json") == 0o644)
    #expect(mode("\(task.bundle.path)/sandbox") == 0o600)
    #expect(!exists("\(task.bundle.path)/shim-binary-path"))
    #expect(!exists("\(task.bundle.path)/log"))
    await fixture.manager.release(task)
    await shim.die()
  }

  @Test("the sandbox's own bundle says where its shim is, when nobody else does")
  func recorded() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    try fixture.sandbox(at: shim)
    var request = fixture.request("web", at: shim.address)
    request.endpoint = nil
    let task = try await fixture.manager.attach(request)
    #expect(task.address == shim.address)
    await fixture.manager.release(task)
    await shim.die()
  }

  @Test("tasks of one sandbox share one connection, which is open until the last is released")
  func oneConnection() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let tasks = try await withThrowingTaskGroup(of: ShimTask.self) { group in
      for number in 0..<20 {
        group.addTask { try await fixture.attach("task-\(number)", to: shim) }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    try await eventually("1 accepted") { shim.connections == 1 }
    #expect(Set(tasks.map(\.id)).count == 20)
    for task in tasks.dropLast() { await fixture.manager.release(task) }
    _ = try await #require(tasks.last).connect()
    await fixture.manager.release(try #require(tasks.last))
    try await eventually("1 accepted") { shim.connections == 1 }
    await shim.die()
  }

  @Test("an attach to where nobody listens says so and leaves nothing", arguments: [true, false])
  func nobodyListens(_ fileIsThere: Bool) async throws {
    let fixture = try ManagerFixture()
    let path = fixture.socket()
    if fileIsThere {
      try UnixListener(
        bindingTo: TransportAddress(place: .unix(path: path)), options: .init(leavesFile: true)
      ).close()
    }
    let before = tree(fixture.scratch.path)
    let address = TransportAddress(rpc: .ttrpc, place: .unix(path: path))
    let error = await asyncFailure {
      _ = try await fixture.manager.attach(fixture.request("web", at: address))
    }
    #expect(error?.code == .shimDied)
    #expect(error?.description.contains(path) == true, "\(error as Any)")
    #expect(withoutLocks(tree(fixture.scratch.path)) == withoutLocks(before))
  }

  @Test("a bundle that exists is an error, and is not touched")
  func bundleExists() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let bundle = try Bundle.create(
      id: "web", namespace: ManagerFixture.namespace, spec: minimalSpec, in: fixture.scratch.state)
    try write("precious", to: "\(bundle.path)/keep")
    let before = tree(bundle.path)
    let error = await asyncFailure { _ = try await fixture.attach("web", to: shim) }
    #expect(error?.code == .bundleExists)
    #expect(tree(bundle.path) == before)
    #expect(try contents("\(bundle.path)/keep") == "precious")
    #expect(shim.connections == 0)
    await shim.die()
  }

  @Test("a task cannot have the id of its sandbox, and that is known at once")
  func idOfSandbox() async throws {
    let fixture = try ManagerFixture(limits: { $0.lock = .seconds(60) })
    let shim = try fixture.shim()
    try fixture.sandbox(at: shim)
    let before = tree(fixture.bundlePath("pod"))
    let error = await asyncFailure { _ = try await fixture.attach("pod", to: shim) }
    #expect(error?.code == .bundleExists, "\(error as Any)")
    #expect(tree(fixture.bundlePath("pod")) == before)
    await shim.die()
  }

  @Test("a file that cannot be written fails the attach; bundle and connection are given back")
  func unwritableRecord() async throws {
    let fixture = try ManagerFixture(onStep: { step, bundles in
      // A directory is where the file must go.
      if step == .connected { mkdir("\(bundles)/web/hawsepipe.json", 0o700) }
    })
    let shim = try fixture.shim()
    let error = await asyncFailure { _ = try await fixture.attach("web", to: shim) }
    #expect(error?.description.contains("hawsepipe.json") == true, "\(error as Any)")
    #expect(!fixture.hasBundle("web"))
    // The lease was given back: the next one dials.
    let other = try await fixture.attach("other", to: shim)
    try await eventually("2 accepted") { shim.connections == 2 }
    await fixture.manager.release(other)
    await shim.die()
  }

  @Test("bootstrap.json that cannot be written fails the attach before anybody is dialled")
  func unwritableParams() async throws {
    let fixture = try ManagerFixture(onStep: { step, bundles in
      if step == .sandboxRecorded { mkdir("\(bundles)/web/bootstrap.json", 0o700) }
    })
    let shim = try fixture.shim()
    let error = await asyncFailure { _ = try await fixture.attach("web", to: shim) }
    #expect(error?.description.contains("bootstrap.json") == true, "\(error as Any)")
    #expect(!fixture.hasBundle("web"))
    #expect(shim.connections == 0)
    await shim.die()
  }

  @Test(
    "a root mount that leads out of the bundle is refused before the shim hears of it",
    arguments: ["../../etc", "/etc", "a/../../b"])
  func climbingMount(_ target: String) async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let task = try await fixture.attach("web", to: shim)
    let mount = RootMount(type: "bind", source: "/srv", target: target, options: ["rbind"])
    let error = await asyncFailure {
      _ = try await task.create(
        TaskCreation(id: "web", bundle: task.bundle.path, rootfs: [mount]))
    }
    #expect(error?.code == .invalidRootfs, "\(error as Any)")
    #expect(shim.calls.isEmpty)
    await fixture.manager.abandon(task)
    await shim.die()
  }

  @Test("a create that fails is undone by abandon: Delete, no Shutdown, no bundle; others live on")
  func createFails() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let other = try await fixture.attach("other", to: shim)
    let task = try await fixture.attach("web", to: shim)
    shim.answer("Create", with: .failure(.internal, "no such rootfs"))
    shim.answer("Delete", with: .failure(.notFound))
    let error = await asyncFailure {
      _ = try await task.create(TaskCreation(id: "web", bundle: task.bundle.path))
    }
    #expect(error?.code == .callFailed)
    #expect(error?.description.contains("no such rootfs") == true)
    await fixture.manager.abandon(task)
    #expect(shim.calls == ["v2 Create web", "v2 Delete web"])
    #expect(!fixture.hasBundle("web"))
    #expect(fixture.hasBundle("other"))
    _ = try await other.connect()
    await fixture.manager.release(other)
    await shim.die()
  }

  @Test("a sandbox whose bootstrap.json is damaged names the file and the fault")
  func damaged() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let sandbox = try fixture.sandbox(at: shim)
    try write("{\"version\":", to: "\(sandbox.path)/bootstrap.json")
    var request = fixture.request("web", at: shim.address)
    request.endpoint = nil
    let error = await asyncFailure { _ = try await fixture.manager.attach(request) }
    #expect(error?.code == .damagedState)
    #expect(error?.description.contains("\(sandbox.path)/bootstrap.json") == true)
    #expect(!fixture.hasBundle("web"))
    // Who names the address does not need the file.
    let task = try await fixture.attach("web", to: shim)
    await fixture.manager.release(task)
    await shim.die()
  }

  @Test("an address from a bundle may not be a command or a descriptor")
  func forbiddenAddress() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let sandbox = try fixture.sandbox(at: shim)
    try write(
      #"{"version":2,"address":"exec://?command=true","protocol":"ttrpc"}"#,
      to: "\(sandbox.path)/bootstrap.json")
    var request = fixture.request("web", at: shim.address)
    request.endpoint = nil
    let error = await asyncFailure { _ = try await fixture.manager.attach(request) }
    #expect(error?.code == .attachFailed)
    #expect(!fixture.hasBundle("web"))
    await shim.die()
  }

  @Test("through the binary: the sandbox's address in its answer means that it was reused")
  func reused() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let binary = try fixture.binary(start: "printf 'unix://\(shim.path)'")
    try fixture.sandbox(at: shim, binary: binary)
    var request = fixture.request("web", at: shim.address)
    request.endpoint = nil
    request.mode = .throughBinary
    let task = try await fixture.manager.attach(request)
    #expect(task.joined == .reused)
    #expect(task.sandboxID == "pod")
    #expect(try task.bundle.files.readSandboxID() == "pod")
    #expect(try fixture.runs(of: binary, "start") == ["web"])
    await fixture.manager.release(task)
    await shim.die()
  }

  @Test("through the binary: another address is a shim of the task's own, and the task says so")
  func notReused() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let own = try fixture.shim("own.sock")
    let binary = try fixture.binary(start: "printf 'unix://\(own.path)'")
    try fixture.sandbox(at: shim, binary: binary)
    var request = fixture.request("web", at: shim.address)
    request.endpoint = nil
    request.mode = .throughBinary
    let task = try await fixture.manager.attach(request)
    #expect(task.joined == .started)
    #expect(task.sandboxID == nil)
    #expect(task.address == own.address)
    #expect(!exists("\(task.bundle.path)/sandbox"))
    await fixture.manager.release(task)
    await shim.die()
    await own.die()
  }

  private func withoutLocks(_ tree: [String]) -> [String] {
    // Parents of the namespace may stay, and locks do.
    tree.filter { !$0.contains("/locks/") && !$0.contains("/\(ManagerFixture.namespace) ") }
  }
}
