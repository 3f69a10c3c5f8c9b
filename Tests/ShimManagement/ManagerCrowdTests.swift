import ContainerdClient
import ShimTestKit
import Testing

@testable import ShimManagement

@Suite("Many tasks of one sandbox")
struct ManagerCrowdTests {
  @Test("200 tasks that come one after the other and stay need no second connection")
  func crowd() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [3])
    var tasks: [ShimTask] = []
    for number in 0..<200 {
      let task = try await fixture.attach("task-\(number)", to: shim, version: 3)
      _ = try await task.create(TaskCreation(id: task.id, bundle: task.bundle.path))
      try await task.start()
      tasks.append(task)
    }
    #expect(shim.connections == 1)
    #expect(shim.calls(of: "Start").count == 200)
    // The first is served as the last is.
    for task in [tasks[0], tasks[199]] { _ = try await task.connect() }
    for task in tasks { await fixture.manager.release(task) }
    try await eventually("none open") { shim.openConnections == 0 }
    #expect(shim.connections == 1)
    await shim.die()
  }
}
