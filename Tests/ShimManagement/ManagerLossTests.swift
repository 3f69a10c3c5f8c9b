import ContainerdAPI
import Glibc
import ShimProtocol
import SwiftProtobuf
import Synchronization
import ShimTestKit
import Testing
import TransportCore

@testable import ShimManagement

@Suite("When the connection to a shim is lost")
struct ManagerLossTests {
  @Test("waiting calls fail at once; each task is cleaned up, and its exit reported, once")
  func cleansUp() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let binary = try fixture.binary()
    try fixture.sandbox(at: shim, binary: binary)
    let events = Collected(fixture.manager.events())
    var tasks: [ShimTask] = []
    for id in ["one", "two", "three"] { tasks.append(try await fixture.attach(id, to: shim)) }
    tasks.append(try await fixture.manager.load(namespace: ManagerFixture.namespace, id: "pod"))

    let waiting = tasks.map { task in
      Task { await asyncFailure { _ = try await task.wait() } }
    }
    try await eventually("all wait") { shim.calls(of: "Wait").count == 4 }
    await shim.die()
    for wait in waiting {
      let error = await wait.value
      #expect(error?.code == .shimDied)
      #expect(error?.description.contains(shim.path) == true)
    }
    await fixture.manager.settle()

    let ids = ["one", "pod", "three", "two"]
    #expect(try fixture.runs(of: binary, "delete") == ids)
    for id in ids { #expect(!fixture.hasBundle(id)) }
    try await eventually("the events arrive") { events.all.count >= 8 }
    let exits = try events.all.filter { $0.topic == "/tasks/exit" }.map {
      try TypeURL.unpack($0.event, as: Containerd_Events_TaskExit.self)
    }
    #expect(exits.map(\.containerID).sorted() == ids)
    #expect(exits.allSatisfy { $0.exitStatus == 137 && $0.pid == 42 && $0.id == $0.containerID })
    let deletes = events.all.filter { $0.topic == "/tasks/delete" }
    #expect(deletes.count == 4 && events.all.count == 8)
    // A sandbox is gone after its tasks: its bundle knows the binary that they needed.
    #expect(exits.last?.containerID == "pod")
    // Nobody is left to let go of; a late release is no error.
    for task in tasks { await fixture.manager.release(task) }
  }

  @Test("bundles that this process never took up go with their sandbox; others stay")
  func unknownBundles() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let elsewhere = try fixture.shim("elsewhere.sock")
    let binary = try fixture.binary()
    try fixture.sandbox(at: shim, binary: binary)
    try fixture.sandbox("other-pod", at: elsewhere, binary: binary)
    // Attached by another process, as it were.
    let forgotten = try await fixture.attach("forgotten", to: shim)
    await fixture.manager.release(forgotten)
    let task = try await fixture.attach("web", to: shim)
    let apart = try await fixture.attach("apart", to: elsewhere, sandbox: "other-pod")
    await shim.die()
    try await eventually("the bundles are removed") {
      !fixture.hasBundle("web") && !fixture.hasBundle("forgotten") && !fixture.hasBundle("pod")
    }
    await fixture.manager.settle()
    #expect(try fixture.runs(of: binary, "delete") == ["forgotten", "pod", "web"])
    #expect(fixture.hasBundle("other-pod") && fixture.hasBundle("apart"))
    _ = try await apart.connect()
    await fixture.manager.release(apart)
    await fixture.manager.release(task)
    await elsewhere.die()
  }

  @Test("tasks of several namespaces behind one shim are all cleaned up")
  func namespaces() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let one = try await fixture.attach("web", to: shim)
    var request = fixture.request("web", at: shim.address)
    request.namespace = "others"
    let two = try await fixture.manager.attach(request)
    await shim.die()
    try await eventually("both bundles are removed") {
      !exists(one.bundle.path) && !exists(two.bundle.path)
    }
    await fixture.manager.settle()
  }

  @Test("without a binary, the end is reported as one that nobody knows")
  func withoutBinary() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let events = Collected(fixture.manager.events())
    _ = try await fixture.attach("web", to: shim)
    await shim.die()
    try await eventually("the exit is reported") { !events.all.isEmpty }
    await fixture.manager.settle()
    let exit = try TypeURL.unpack(
      try #require(events.all.first).event, as: Containerd_Events_TaskExit.self)
    #expect(exit.exitStatus == 255)
    #expect(exit.exitedAt.seconds > 0)
    #expect(!fixture.hasBundle("web"))
  }

  @Test(
    "a binary whose delete fails, says nonsense or hangs does not keep the bundle",
    arguments: ["exit 1", "echo 'not a message'", "sleep 1000"])
  func badDelete(_ script: String) async throws {
    let fixture = try ManagerFixture(limits: { $0.cleanup = .milliseconds(300) })
    let shim = try fixture.shim()
    try fixture.sandbox(at: shim, binary: try fixture.binary(delete: script))
    let events = Collected(fixture.manager.events())
    _ = try await fixture.attach("web", to: shim)
    await shim.die()
    try await eventually("the exits are reported") { events.all.count == 4 }
    await fixture.manager.settle()
    #expect(!fixture.hasBundle("web") && !fixture.hasBundle("pod"))
  }

  @Test("nothing is cleaned up while somebody still listens at the address")
  func somebodyListens() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let binary = try fixture.binary()
    try fixture.sandbox(at: shim, binary: binary)
    let task = try await fixture.attach("web", to: shim)
    // The file is taken over first, then the old one's connections end.
    let next = try fixture.shim()
    await shim.die()
    try await eventually("the loss is noticed") { next.connections >= 1 }
    await fixture.manager.settle()
    #expect(fixture.hasBundle("web") && fixture.hasBundle("pod"))
    #expect(try fixture.runs(of: binary, "delete") == [])
    let again = try await fixture.manager.load(namespace: ManagerFixture.namespace, id: "web")
    _ = try await again.connect()
    await fixture.manager.release(again)
    await fixture.manager.release(task)
    await next.die()
  }

  @Test("two managers that notice the same loss clean up once between them")
  func twoManagers() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let binary = try fixture.binary()
    try fixture.sandbox(at: shim, binary: binary)
    _ = try await fixture.attach("web", to: shim)
    let second = try ShimManager(fixture.manager.configuration)
    _ = try await second.load(namespace: ManagerFixture.namespace, id: "web")
    let events = [Collected(fixture.manager.events()), Collected(second.events())]
    await shim.die()
    try await eventually("the bundles are removed") {
      !fixture.hasBundle("web") && !fixture.hasBundle("pod")
    }
    try await eventually("the exits are reported") { events.map(\.all.count).reduce(0, +) >= 4 }
    await fixture.manager.settle()
    await second.settle()
    #expect(try fixture.runs(of: binary, "delete") == ["pod", "web"])
    #expect(events.map(\.all.count).reduce(0, +) == 4)
  }
}
