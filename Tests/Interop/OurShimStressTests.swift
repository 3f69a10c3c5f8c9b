import ContainerdClient
import Glibc
import RPCCore
import Testing

/// Many containers at once in one shim, each with a life that a seed decides.
@Suite("containers of our shim under stress", .serialized)
struct OurShimStressTests {
  private struct Life: Sendable {
    enum Kind: CaseIterable { case endsAtOnce, endsSoon, isKilled, isNotStarted }
    var id: String
    var kind: Kind
    var execs: [[String]]
    var status: UInt32
    /// Microseconds.
    var pause: Int

    init(_ number: Int, _ random: inout SeededNumbers) {
      id = "c\(number)"
      kind = Kind.allCases.randomElement(using: &random) ?? .endsAtOnce
      status = UInt32.random(in: 0..<100, using: &random)
      pause = Int.random(in: 0..<40_000, using: &random)
      execs = (0..<Int.random(in: 0..<4, using: &random)).map { _ in
        [["/bin/true"], ["/bin/sh", "-c", "exit 9"], ["/bin/sleep", "1000"]]
          .randomElement(using: &random) ?? []
      }
    }

    var args: [String] {
      switch kind {
      case .endsAtOnce: ["/bin/sh", "-c", "exit \(status)"]
      case .endsSoon: ["/bin/sh", "-c", "sleep 0.0\(pause / 4000); exit \(status)"]
      case .isKilled, .isNotStarted: ["/bin/sleep", "1000"]
      }
    }

    /// What Wait and Delete must say.
    var end: UInt32 {
      switch kind {
      case .endsAtOnce, .endsSoon: status
      case .isKilled, .isNotStarted: 137
      }
    }
  }

  @Test("every process is created, started, ended and deleted, in that order and once")
  func order() async throws {
    let total = Effort.isFull ? 2000 : 100
    let atOnce = Effort.isFull ? 200 : 50
    let seed = Effort.seed
    try await OurShim.use { shim in
      var random = SeededNumbers(seed: seed)
      let lives = (0..<total).map { Life($0, &random) }
      try shim.bundle("c0", group: "all", lives[0].args)
      let socket = try await shim.start("c0")
      try await shim.with(socket) { tasks in
        try await withThrowingTaskGroup(of: Void.self) { group in
          for (number, life) in lives.enumerated() {
            if number >= atOnce { try await group.next() }
            group.addTask {
              if number > 0 { try shim.bundle(life.id, group: "all", life.args) }
              do { try await Self.live(life, shim, tasks) } catch {
                Issue.record("seed \(seed), \(life): \(error)")
              }
            }
          }
          try await group.waitForAll()
        }
        try await tasks.shutdown("c0")
      }
      try await eventually("all deletes are told", within: .seconds(60)) {
        shim.told.filter { $0.topic == "delete" }.count >= total
      }
      for life in lives {
        let events = shim.told(of: life.id)
        let faults = OurShimOrder(events: events).faults(isOver: true)
        #expect(faults == [], "seed \(seed), \(life)")
        #expect(
          events.first { $0.topic == "exit" && $0.exec == nil }?.status == life.end,
          "seed \(seed), \(life)")
      }
    }
  }

  private static func live(_ life: Life, _ shim: OurShim, _ tasks: OurShim.Tasks) async throws {
    let id = life.id
    let limit = Duration.seconds(120)
    _ = try await tasks.create(shim.creation(id), timeout: limit)
    guard life.kind != .isNotStarted else {
      let end = try await tasks.delete(id, timeout: limit)
      #expect(end.status == life.end, "\(life)")
      return
    }
    _ = try await tasks.start(id, timeout: limit)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (number, args) in life.execs.enumerated() {
        group.addTask { await Self.exec("e\(number)", args, id, shim, tasks) }
      }
      if life.kind == .isKilled {
        try await Task.sleep(for: .microseconds(life.pause))
        try await tasks.kill(id, signal: 9, timeout: limit)
      }
      #expect(try await tasks.wait(id, timeout: limit).status == life.end, "\(life)")
      try await group.waitForAll()
    }
    let end = try await tasks.delete(id, timeout: limit)
    #expect(end.status == life.end, "\(life)")
  }

  /// It races the init's end: any step may be refused.
  private static func exec(
    _ exec: String, _ args: [String], _ id: String, _ shim: OurShim, _ tasks: OurShim.Tasks
  ) async {
    do throws(RPCError) {
      try await tasks.exec(shim.exec(id, exec, args), timeout: .seconds(120))
      _ = try await tasks.start(id, execID: exec, timeout: .seconds(120))
      _ = try await tasks.wait(id, execID: exec, timeout: .seconds(120))
      _ = try await tasks.delete(id, execID: exec, timeout: .seconds(120))
    } catch {
      #expect(error.reason == .status && error.code != .deadlineExceeded, "\(id)/\(exec): \(error)")
    }
  }
}
