import RPCCore
import Synchronization
import Testing

@testable import ShimManagement

@Suite("CallGate")
struct CallGateTests {
  private final class Counts: Sendable {
    private let state = Mutex((now: 0, most: 0, all: 0))

    var now: Int { state.withLock { $0.now } }
    var most: Int { state.withLock { $0.most } }
    var all: Int { state.withLock { $0.all } }

    func enter() {
      state.withLock {
        $0.now += 1
        $0.all += 1
        $0.most = max($0.most, $0.now)
      }
    }

    func leave() { state.withLock { $0.now -= 1 } }
  }

  @Test("lets no more through at once than it is wide, and everybody in the end")
  func width() async throws {
    let gate = CallGate()
    let inside = Counts()
    try await withThrowingTaskGroup { group in
      for _ in 0..<40 {
        group.addTask {
          try await gate.pass(width: 3, within: .seconds(60)) { () throws(RPCError) in
            inside.enter()
            for _ in 0..<10 { await Task.yield() }
            inside.leave()
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(inside.now == 0)
    #expect(inside.all == 40)
    #expect(inside.most <= 3)
  }

  @Test("a turn that does not come is given up, by time or by cancellation, and the place is kept")
  func impatience() async throws {
    let gate = CallGate()
    let (held, hold) = AsyncStream.makeStream(of: Void.self)
    let (entered, enter) = AsyncStream.makeStream(of: Void.self)
    let holder = Task {
      try await gate.pass(width: 1, within: .seconds(60)) { () throws(RPCError) in
        enter.finish()
        for await _ in held {}
      }
    }
    for await _ in entered {}
    await #expect {
      try await gate.pass(width: 1, within: .milliseconds(10)) { () throws(RPCError) in }
    } throws: {
      ($0 as? RPCError)?.reason == .deadline
    }
    let cancelled = Task {
      try await gate.pass(width: 1, within: .seconds(60)) { () throws(RPCError) in }
    }
    cancelled.cancel()
    await #expect {
      try await cancelled.value
    } throws: {
      ($0 as? RPCError)?.reason == .cancelled
    }
    let next = Task {
      try await gate.pass(width: 1, within: .seconds(60)) { () throws(RPCError) in 7 }
    }
    hold.finish()
    try await holder.value
    #expect(try await next.value == 7)
  }

  @Test("a call that fails gives its place back")
  func failure() async throws {
    let gate = CallGate()
    for _ in 0..<3 {
      await #expect(throws: RPCError.self) {
        try await gate.pass(width: 1, within: .seconds(60)) { () throws(RPCError) in
          throw RPCError(code: .internal, message: "no")
        }
      }
    }
  }
}
