import ContainerdAPI
import ContainerdClient
import RPCCore
import ShimTestKit
import SwiftProtobuf
import Testing

@testable import ShimManagement

@Suite("A sandbox's end is reported once, after the ends of its tasks")
struct SandboxEndTests {
  private struct Pod {
    let fixture: ManagerFixture
    let shim: FakeShim
    let sandbox: ShimSandbox
    let tasks: [ShimTask]
    let events: Collected<ShimEvent>

    init(lastWords: Duration = .milliseconds(100)) async throws {
      fixture = try ManagerFixture(limits: {
        $0.shutdown = .milliseconds(200)
        $0.lastWords = lastWords
      })
      shim = try fixture.shim(versions: [3], hasSandbox: true)
      sandbox = try await fixture.manager.createSandbox(
        ShimManager.SandboxRequest(
          namespace: ManagerFixture.namespace, id: "pod",
          runtime: try fixture.binary(answering: shim)))
      events = Collected(fixture.manager.events())
      var tasks: [ShimTask] = []
      for id in ["one", "two"] {
        tasks.append(
          try await fixture.manager.attach(
            ShimManager.AttachRequest(
              namespace: ManagerFixture.namespace, id: id, sandboxID: "pod", mode: .version3,
              spec: minimalSpec)))
      }
      self.tasks = tasks
    }

    func start() async throws {
      try await sandbox.start()
      let shim = shim
      try await eventually("its end is waited for") { !shim.calls(of: "WaitSandbox").isEmpty }
    }

    var topics: [String] { events.all.map(\.topic) }

    var exits: [UInt32] {
      get throws {
        try events.all.filter { $0.topic == "/sandboxes/exit" }.map {
          try TypeURL.unpack($0.event, as: Containerd_Events_SandboxExit.self).exitStatus
        }
      }
    }

    /// Waits until nothing more is to come, and checks the order.
    func expectTasksFirst() async throws {
      try await eventually("all is reported") { events.all.count >= 5 }
      await fixture.manager.settle()
      #expect(topics.count == 5)
      #expect(topics.filter { $0 == "/tasks/exit" }.count == 2)
      #expect(topics.filter { $0 == "/tasks/delete" }.count == 2)
      #expect(topics.last == "/sandboxes/exit")
      #expect(!fixture.hasBundle("pod") && !fixture.hasBundle("one") && !fixture.hasBundle("two"))
    }
  }

  @Test(
    "the shim says so and goes with it: the tasks' ends, and then the sandbox's with its status")
  func waitThenLoss() async throws {
    let pod = try await Pod(lastWords: .seconds(60))
    try await pod.start()
    pod.shim.endSandbox(status: 9)
    try await eventually("it is heard") { pod.fixture.manager.knowsEnding(of: pod.sandbox.bundle) }
    await pod.shim.die()
    try await pod.expectTasksFirst()
    #expect(try pod.exits == [9])
  }

  @Test("the connection is lost and the shim has said nothing")
  func lossAlone() async throws {
    let pod = try await Pod()
    try await pod.start()
    await pod.shim.die()
    try await pod.expectTasksFirst()
    #expect(try pod.exits == [137])
  }

  @Test("the shim says so and lives on: the sandbox's end alone, and not again when the shim dies")
  func waitAlone() async throws {
    let pod = try await Pod()
    try await pod.start()
    pod.shim.endSandbox(status: 9)
    try await eventually("it is reported") { try pod.exits == [9] }
    #expect(pod.topics == ["/sandboxes/exit"])
    #expect(pod.fixture.hasBundle("pod") && pod.fixture.hasBundle("one"))
    await pod.shim.die()
    try await eventually("the tasks' ends are reported") { pod.events.all.count == 5 }
    await pod.fixture.manager.settle()
    #expect(try pod.exits == [9])
    #expect(!pod.fixture.hasBundle("pod"))
  }

  @Test("it is not told again by a manager that takes the sandbox up later")
  func acrossManagers() async throws {
    let pod = try await Pod()
    try await pod.start()
    pod.shim.endSandbox(status: 9)
    try await eventually("it is reported") { try pod.exits == [9] }
    await pod.fixture.manager.settle()
    let second = try ShimManager(pod.fixture.manager.configuration)
    let events = Collected(second.events())
    let report = try await second.restore()
    #expect(report.entries.map(\.outcome) == [.restored, .restored, .restored])
    try await eventually("it is asked again") { pod.shim.calls(of: "WaitSandbox").count == 2 }
    try await second.shutDown(try #require(report.sandboxes.first))
    await second.settle()
    #expect(events.all.map(\.topic).filter { $0 == "/sandboxes/exit" } == [])
    #expect(try pod.exits == [9])
    for task in report.tasks { await second.release(task) }
    await pod.shim.die()
    await pod.fixture.manager.settle()
  }

  @Test("a sandbox that is shut down ends with the status that it says")
  func shutDown() async throws {
    let pod = try await Pod(lastWords: .seconds(60))
    try await pod.start()
    let shim = pod.shim
    let end = Task {
      try await eventually("it is told") { !shim.calls(of: "ShutdownSandbox").isEmpty }
      shim.endSandbox(status: 3)
      try await eventually("it is heard") {
        pod.fixture.manager.knowsEnding(of: pod.sandbox.bundle)
      }
      await shim.die()
    }
    try await pod.fixture.manager.shutDown(pod.sandbox)
    try await end.value
    for task in pod.tasks { await pod.fixture.manager.release(task) }
    try await pod.expectTasksFirst()
    #expect(try pod.exits == [3])
  }
}

@Suite("A connection that is lost while its shim lives")
struct RelinkTests {
  @Test("is replaced: calls under way fail, the task goes on over one new connection")
  func tasks() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [3])
    let tasks = [
      try await fixture.attach("one", to: shim, version: 3),
      try await fixture.attach("two", to: shim, version: 3),
    ]
    let waiting = Task { await asyncFailure { _ = try await tasks[0].wait() } }
    try await eventually("it waits") { shim.calls(of: "Wait").count == 1 }
    shim.dropConnections()
    #expect(await waiting.value?.code == .shimDied)
    for task in tasks {
      try await eventually("it answers again") {
        // Until then it fails as it did.
        (try? await task.connect()) != nil
      }
    }
    await fixture.manager.settle()
    #expect(fixture.hasBundle("one") && fixture.hasBundle("two"))
    #expect(tasks[0].lease.id == tasks[1].lease.id)
    try await eventually("one is open") { shim.openConnections == 1 }
    for task in tasks { await fixture.manager.release(task) }
    try await eventually("none is open") { shim.openConnections == 0 }
    await shim.die()
  }

  @Test("a sandbox's end is waited for over the new one")
  func sandbox() async throws {
    let fixture = try ManagerFixture(limits: { $0.lastWords = .milliseconds(50) })
    let shim = try fixture.shim(versions: [3], hasSandbox: true)
    let sandbox = try await fixture.manager.createSandbox(
      ShimManager.SandboxRequest(
        namespace: ManagerFixture.namespace, id: "pod",
        runtime: try fixture.binary(answering: shim)))
    let events = Collected(fixture.manager.events())
    try await sandbox.start()
    try await eventually("it waits") { shim.calls(of: "WaitSandbox").count == 1 }
    shim.dropConnections()
    try await eventually("it waits again") { shim.calls(of: "WaitSandbox").count == 2 }
    shim.endSandbox(status: 1)
    try await eventually("the end is reported") { events.all.count == 1 }
    await fixture.manager.settle()
    #expect(events.all.map(\.topic) == ["/sandboxes/exit"])
    await fixture.manager.release(sandbox)
    await shim.die()
  }

  @Test("who gives a task up meanwhile gets no new connection")
  func released() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [3])
    let task = try await fixture.attach("one", to: shim, version: 3)
    shim.dropConnections()
    try await eventually("the loss is noticed") { !task.connection.isConnected }
    await fixture.manager.release(task)
    await fixture.manager.settle()
    #expect(!fixture.manager.isAstray(task))
    try await eventually("none is open") { shim.openConnections == 0 }
    #expect(fixture.hasBundle("one"))
    await shim.die()
  }
}
