import ContainerdClient
import RPCCore
import ShimTestKit
import Testing

@testable import ShimManagement

@Suite("A wait for a sandbox's end")
struct SandboxWaitTests {
  private static func pod(
    _ limits: @escaping (inout ShimManager.Limits) -> Void = { _ in }
  ) async throws -> (ManagerFixture, FakeShim, ShimSandbox) {
    let fixture = try ManagerFixture(limits: {
      $0.lastWords = .milliseconds(50)
      limits(&$0)
    })
    let shim = try fixture.shim(versions: [3], hasSandbox: true)
    let sandbox = try await fixture.manager.createSandbox(
      ShimManager.SandboxRequest(
        namespace: ManagerFixture.namespace, id: "pod",
        runtime: try fixture.binary(answering: shim)))
    try await sandbox.start()
    try await eventually("the manager waits") { shim.calls(of: "WaitSandbox").count == 1 }
    return (fixture, shim, sandbox)
  }

  @Test("it goes on over the next connection while the shim lives, however often that happens")
  func reconnects() async throws {
    let (fixture, shim, sandbox) = try await Self.pod()
    let waiting = Task { try await sandbox.wait(timeout: .seconds(60)) }
    try await eventually("both wait") { shim.calls(of: "WaitSandbox").count == 2 }
    for round in 2...4 {
      shim.dropConnections()
      try await eventually("both wait again") { shim.calls(of: "WaitSandbox").count == 2 * round }
    }
    shim.endSandbox(status: 9)
    #expect(try await waiting.value.status == 9)
    await fixture.manager.release(sandbox)
    await shim.die()
    await fixture.manager.settle()
  }

  @Test("the shim's death ends it")
  func death() async throws {
    let (fixture, shim, sandbox) = try await Self.pod()
    let waiting = Task { await asyncFailure { _ = try await sandbox.wait() } }
    try await eventually("both wait") { shim.calls(of: "WaitSandbox").count == 2 }
    await shim.die()
    #expect(await waiting.value?.code == .shimDied)
    #expect(await asyncFailure { _ = try await sandbox.wait() }?.code == .shimDied)
    await fixture.manager.settle()
  }

  @Test("so does a release, its time, its caller's end, and the manager's")
  func ends() async throws {
    let (fixture, shim, sandbox) = try await Self.pod()
    #expect(
      await asyncFailure { _ = try await sandbox.wait(timeout: .milliseconds(50)) }?.code
        == .timedOut)
    let cancelled = Task { await asyncFailure { _ = try await sandbox.wait() } }
    cancelled.cancel()
    #expect(await cancelled.value?.code == .cancelled)
    let released = Task { await asyncFailure { _ = try await sandbox.wait() } }
    try await eventually("it waits") { shim.calls(of: "WaitSandbox").count >= 3 }
    await fixture.manager.release(sandbox)
    #expect(await released.value?.code == .shimDied)
    await shim.die()
  }

  /// Where its connection is lost, and nobody has found out yet whether the shim lives.
  @Test("between two connections it ends by its time, its caller's end and the holder's")
  func between() async throws {
    let (fixture, shim, sandbox) = try await Self.pod()
    let line = SandboxLine(sandbox.lease)
    let lost = sandbox.lease.id
    let cancelled = Task { await line.hasOther(than: lost) }
    cancelled.cancel()
    #expect(await !cancelled.value)
    let ended = Task { await line.hasOther(than: lost) }
    line.end()
    #expect(await !ended.value)
    #expect(await !line.hasOther(than: lost))
    await fixture.manager.release(sandbox)
    await shim.die()
  }
}
