import ContainerdClient
import ShimProtocol
import Synchronization
import ShimTestKit
import Testing

@testable import ShimManagement

@Suite("A caller that is cancelled")
struct ManagerCancellationTests {
  /// Cancels the task that is in the box, at a step.
  final class Cancelling: Sendable {
    private let task = Mutex<Task<Void, any Error>?>(nil)
    private let reached = Mutex(false)

    func set(_ task: Task<Void, any Error>) {
      self.task.withLock { $0 = task }
    }

    func cancel() { task.withLock { $0?.cancel() } }
  }

  @Test(
    "an attach and create that are cancelled after any step leave no bundle, and the sandbox lives",
    arguments: [
      ManagerStep.bundleCreated, .sandboxRecorded, .bootstrapRecorded, .connected, .taskCreated,
    ])
  func attach(_ step: ManagerStep) async throws {
    let cancelling = Cancelling()
    let gate = AsyncStream.makeStream(of: Void.self)
    let fixture = try ManagerFixture(onStep: { reached, _ in
      if reached == step { cancelling.cancel() }
    })
    let shim = try fixture.shim()
    try fixture.sandbox(at: shim)
    let work = Task {
      for await _ in gate.stream { break }
      let task = try await fixture.attach("web", to: shim)
      do {
        _ = try await task.create(TaskCreation(id: "web", bundle: task.bundle.path))
        try await task.start()
      } catch {
        await fixture.manager.abandon(task)
        throw error
      }
    }
    cancelling.set(work)
    gate.continuation.yield()
    let error = await asyncFailure { try await work.value }
    #expect(error != nil)
    #expect(!fixture.hasBundle("web"))
    #expect(fixture.hasBundle("pod"))
    #expect(shim.calls(of: "Start") == [])
    #expect(shim.calls(of: "Shutdown") == [])
    if step == .taskCreated { #expect(shim.calls(of: "Delete") == ["v2 Delete web"]) }
    // The connection that it used was given back, so this is a new one.
    let before = shim.connections
    let task = try await fixture.attach("web", to: shim)
    #expect(shim.connections == before + 1)
    await fixture.manager.release(task)
    await shim.die()
  }

  @Test("a delete that is cancelled while the shim thinks removes nothing and can be tried again")
  func delete() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(answers: ["Delete": .never])
    let task = try await fixture.attach("web", to: shim)
    let delete = Task { try await fixture.manager.delete(task) }
    try await eventually("the shim is asked") { shim.calls(of: "Delete").count == 1 }
    delete.cancel()
    let error = await asyncFailure { _ = try await delete.value }
    #expect(error != nil)
    #expect(fixture.hasBundle("web"))
    shim.answer("Delete", with: .success)
    #expect(try await fixture.manager.delete(task)?.status == 7)
    #expect(!fixture.hasBundle("web"))
    await shim.die()
  }
}
