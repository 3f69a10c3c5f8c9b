import ContainerdAPI
import ContainerdClient
import Glibc
import RPCCore
import ShimTestKit
import SwiftProtobuf
import Testing

@testable import ShimManagement

@Suite("A sandbox on a shim that serves the sandbox API")
struct ManagerSandboxTests {
  private func request(_ binary: String, _ id: String = "pod") -> ShimManager.SandboxRequest {
    ShimManager.SandboxRequest(namespace: ManagerFixture.namespace, id: id, runtime: binary)
  }

  @Test("it is created, started, asked, stopped, waited for and shut down, and nothing is left")
  func life() async throws {
    let fixture = try ManagerFixture(limits: { $0.shutdown = .milliseconds(200) })
    let shim = try fixture.shim(versions: [3], hasSandbox: true)
    let binary = try fixture.binary(answering: shim)
    var request = request(binary)
    request.spec = minimalSpec
    request.options = .with { $0.typeURL = "x.Pod" }
    request.netnsPath = "/run/netns/pod"
    request.annotations = ["a": "b"]
    let sandbox = try await fixture.manager.createSandbox(request)
    #expect(sandbox.address == shim.address)
    #expect(sandbox.version == 3)
    #expect(shim.calls == ["sandbox CreateSandbox pod"])
    #expect(exists("\(fixture.bundlePath("pod"))/config.json"))

    #expect(try await sandbox.start().pid == 4243)
    #expect(try await sandbox.status().isReady)
    try await sandbox.ping()
    #expect(try await sandbox.platform().os == "linux")
    #expect(try await sandbox.metrics().id == "pod")
    try await sandbox.stop(grace: .seconds(1))
    #expect(try await sandbox.wait().status == 0)
    #expect(try await sandbox.status().isNotReady)

    try await fixture.manager.shutDown(sandbox)
    #expect(shim.calls.last == "sandbox ShutdownSandbox pod")
    #expect(!fixture.hasBundle("pod"))
    // The shim did not end by itself.
    #expect(try fixture.runs(of: binary, "delete") == ["pod"])
    let count = shim.calls.count
    try await fixture.manager.shutDown(sandbox)
    #expect(shim.calls.count == count)
    await shim.die()
  }

  @Test("a shim that ends as it is told needs no help of its binary")
  func endsByItself() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [3], hasSandbox: true)
    let binary = try fixture.binary(answering: shim)
    let sandbox = try await fixture.manager.createSandbox(request(binary))
    let events = Collected(fixture.manager.events())
    let end = Task {
      try await eventually("it is told") { !shim.calls(of: "ShutdownSandbox").isEmpty }
      await shim.die()
    }
    try await fixture.manager.shutDown(sandbox)
    try await end.value
    #expect(!fixture.hasBundle("pod"))
    #expect(try fixture.runs(of: binary, "delete") == [])
    try await eventually("its exit is reported") { !events.all.isEmpty }
    await fixture.manager.settle()
    #expect(events.all.map(\.topic) == ["/sandboxes/exit"])
  }

  @Test("without a specification there is no config.json")
  func noSpec() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [3], hasSandbox: true)
    let sandbox = try await fixture.manager.createSandbox(
      request(try fixture.binary(answering: shim)))
    #expect(!exists("\(fixture.bundlePath("pod"))/config.json"))
    await fixture.manager.release(sandbox)
    await shim.die()
  }

  @Test("tasks attach to it by its id, over its connection; shutting it down ends them")
  func tasks() async throws {
    let fixture = try ManagerFixture(limits: { $0.shutdown = .milliseconds(200) })
    let shim = try fixture.shim(versions: [3], hasSandbox: true)
    let binary = try fixture.binary(answering: shim)
    let sandbox = try await fixture.manager.createSandbox(request(binary))
    let task = try await fixture.manager.attach(
      ShimManager.AttachRequest(
        namespace: ManagerFixture.namespace, id: "web", sandboxID: "pod", mode: .version3,
        spec: minimalSpec))
    _ = try await task.create(TaskCreation(id: "web", bundle: task.bundle.path))
    #expect(shim.connections == 1)
    let events = Collected(fixture.manager.events())
    try await fixture.manager.shutDown(sandbox)
    #expect(!fixture.hasBundle("pod") && !fixture.hasBundle("web"))
    try await eventually("the exits are reported") { events.all.count == 3 }
    #expect(events.all.map(\.topic) == ["/tasks/exit", "/tasks/delete", "/sandboxes/exit"])
    await fixture.manager.release(task)
    await fixture.manager.settle()
    await shim.die()
  }

  @Test(
    "a creation that fails is undone: the shim is told, its binary cleans up, the bundle goes",
    arguments: [
      FakeShim.Answer.failure(.internal), .failure(.unimplemented), .never,
    ])
  func failedCreate(_ answer: FakeShim.Answer) async throws {
    let fixture = try ManagerFixture(limits: {
      $0.change = .milliseconds(200)
      $0.shutdown = .milliseconds(200)
    })
    let shim = try fixture.shim(
      versions: [3], hasSandbox: true,
      answers: ["CreateSandbox": answer, "ShutdownSandbox": answer])
    let binary = try fixture.binary(answering: shim)
    let error = await asyncFailure {
      _ = try await fixture.manager.createSandbox(self.request(binary))
    }
    #expect(error?.description.contains("sandbox pod") == true)
    switch answer {
    case .never: #expect(error?.code == .timedOut)
    case .failure(.unimplemented, _): #expect(error?.hint?.contains("sandbox API") == true)
    default: #expect(error?.code == .callFailed)
    }
    #expect(shim.calls == ["sandbox CreateSandbox pod", "sandbox ShutdownSandbox pod"])
    #expect(!fixture.hasBundle("pod"))
    #expect(try fixture.runs(of: binary, "delete") == ["pod"])
    await shim.die()
  }

  @Test("a shim without the sandbox API is refused, and what it could do instead is said")
  func noSandboxAPI() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [3])
    let error = await asyncFailure {
      _ = try await fixture.manager.createSandbox(
        self.request(try fixture.binary(answering: shim)))
    }
    #expect(error?.code == .callFailed)
    #expect(error?.hint?.contains("hawse sandbox run") == true)
    #expect(!fixture.hasBundle("pod"))
    await shim.die()
  }

  @Test("an id that is taken, a network that is no path: refused before anything is made")
  func refusals() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [3], hasSandbox: true)
    let binary = try fixture.binary(answering: shim)
    var bad = request(binary, "other")
    bad.netnsPath = "netns"
    let refused = bad
    let error = await asyncFailure { _ = try await fixture.manager.createSandbox(refused) }
    #expect(error?.code == .startFailed)
    #expect(!fixture.hasBundle("other"))
    let sandbox = try await fixture.manager.createSandbox(request(binary))
    let taken = await asyncFailure {
      _ = try await fixture.manager.createSandbox(self.request(binary))
    }
    #expect(taken?.code == .bundleExists)
    #expect(fixture.hasBundle("pod"))
    await fixture.manager.release(sandbox)
    await shim.die()
  }

  @Test("it is taken up again by its id; a task, or nothing, is not")
  func load() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [3], hasSandbox: true)
    let sandbox = try await fixture.manager.createSandbox(
      request(try fixture.binary(answering: shim)))
    await fixture.manager.release(sandbox)
    let again = try await fixture.manager.loadSandbox(
      namespace: ManagerFixture.namespace, id: "pod")
    try await again.ping()
    #expect(again.version == 3 && again.address == shim.address)
    let reports = try await fixture.manager.list(namespace: ManagerFixture.namespace)
    #expect(reports.map(\.isSandbox) == [true])
    try fixture.sandbox("old", at: shim)
    for id in ["old", "none"] {
      let error = await asyncFailure {
        _ = try await fixture.manager.loadSandbox(namespace: ManagerFixture.namespace, id: id)
      }
      #expect(error?.code == .sandboxNotFound)
    }
    await fixture.manager.release(again)
    await shim.die()
  }

  @Test("when its shim dies it is cleaned up as a sandbox, and its exit reported as one")
  func dies() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [3], hasSandbox: true)
    let binary = try fixture.binary(answering: shim)
    let sandbox = try await fixture.manager.createSandbox(request(binary))
    let events = Collected(fixture.manager.events())
    await shim.die()
    try await eventually("the bundle is removed") { !fixture.hasBundle("pod") }
    await fixture.manager.settle()
    try await eventually("the exit is reported") { !events.all.isEmpty }
    let exit = try TypeURL.unpack(
      try #require(events.all.first).event, as: Containerd_Events_SandboxExit.self)
    #expect(exit.sandboxID == "pod" && exit.exitStatus == 137)
    #expect(events.all.count == 1)
    await fixture.manager.release(sandbox)
  }

  @Test("removed as a task that was taken up by its id, it is shut down")
  func deletedAsTask() async throws {
    let fixture = try ManagerFixture(limits: { $0.shutdown = .milliseconds(200) })
    let shim = try fixture.shim(versions: [3], hasSandbox: true)
    let sandbox = try await fixture.manager.createSandbox(
      request(try fixture.binary(answering: shim)))
    await fixture.manager.release(sandbox)
    let task = try await fixture.manager.load(namespace: ManagerFixture.namespace, id: "pod")
    _ = try await fixture.manager.delete(task)
    #expect(shim.calls.contains("sandbox ShutdownSandbox pod"))
    #expect(!fixture.hasBundle("pod"))
    await shim.die()
  }
}
