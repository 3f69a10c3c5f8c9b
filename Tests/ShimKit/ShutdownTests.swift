import Synchronization
import Testing

@testable import ShimKit

@Suite("A shim's shutdown")
struct ShutdownTests {
  private final class Count: Sendable {
    private let state = Mutex(0)
    func add() { state.withLock { $0 += 1 } }
    var value: Int { state.withLock { $0 } }
  }

  @Test("runs every callback once, however often it is begun")
  func once() async {
    let shutdown = ShimShutdown()
    let count = Count()
    for name in 0..<10 { shutdown.onShutdown("\(name)") { count.add() } }
    await withDiscardingTaskGroup { group in
      for _ in 0..<10 { group.addTask { shutdown.begin("test") } }
    }
    let failures = await shutdown.wait()
    #expect(failures.isEmpty && count.value == 10)
    shutdown.onShutdown("after the end") { count.add() }
    #expect(count.value == 10)
  }

  @Test("runs callbacks at the same time, those that come late too, and reports what failed")
  func together() async {
    let shutdown = ShimShutdown()
    let first = Awaited<Void>()
    let second = Awaited<Void>()
    shutdown.onShutdown("first") {
      first.set(())
      try await second.get()
    }
    shutdown.onShutdown("second") {
      try await first.get()
      shutdown.onShutdown("late") {
        second.set(())
        throw ShimKitError(code: .system, message: "as the test wants it")
      }
      try await second.get()
    }
    shutdown.begin("test")
    let failures = await shutdown.wait()
    #expect(failures.map(\.name) == ["late"])
  }

  @Test("ends without those that take longer than the limit")
  func limit() async {
    let shutdown = ShimShutdown(limit: .milliseconds(50))
    shutdown.onShutdown("endless") { try await Task.sleep(for: .seconds(3600)) }
    shutdown.onShutdown("quick") {}
    shutdown.begin("test")
    let failures = await shutdown.wait()
    #expect(failures.map(\.description) == ["endless did not end in time"])
  }

  @Test("a value that is awaited reaches everybody, and cancellation ends a wait")
  func awaited() async throws {
    let value = Awaited<Int>()
    let cancelled = Task { try await value.get() }
    cancelled.cancel()
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    let waiters = (0..<5).map { _ in Task { try await value.get() } }
    value.set(1)
    value.set(2)
    for waiter in waiters { #expect(try await waiter.value == 1) }
    #expect(value.current == 1)
  }
}
