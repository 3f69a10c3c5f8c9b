import ContainerdClient
import Glibc
import ProcessSupervision
import RPCCore
import Testing

/// A shim, or the runtime that it runs, killed at any point of a container's life.
@Suite("our shim and its runtime killed at any point", .serialized)
struct OurShimKillTests {
  private struct Round: Sendable {
    var number: Int
    var killsRuntime: Bool
    /// Microseconds from the first call.
    var at: Int
    var args: [String]

    init(_ number: Int, _ random: inout SeededNumbers) {
      self.number = number
      killsRuntime = Bool.random(using: &random)
      at = Int.random(in: 0..<250_000, using: &random)
      args =
        Bool.random(using: &random) ? ["/bin/sh", "-c", "exit 5"] : ["/bin/sleep", "1000"]
    }
  }

  @Test("nothing is told twice, no told end is contradicted, and nothing is left")
  func rounds() async throws {
    let seed = Effort.seed
    var random = SeededNumbers(seed: seed)
    let rounds = (0..<(Effort.isFull ? 300 : 100)).map { Round($0, &random) }
    // Two at a time: each looks at its own things alone.
    try await withThrowingTaskGroup(of: Void.self) { group in
      for round in rounds {
        if round.number >= 2 { try await group.next() }
        group.addTask { try await Self.play(round, seed) }
      }
      try await group.waitForAll()
    }
  }

  private static func play(_ round: Round, _ seed: UInt64) async throws {
    try await OurShim.use { shim in
      let words = "seed \(seed), \(round)"
      try shim.bundle("c", group: "c", round.args)
      let socket = try await shim.start("c")
      let pid = try await shim.with(socket) { Int32(try await $0.connect("c").shimPID) }
      let process = try #require(ProcessIdentity(pid: pid), "\(words)")
      let killer = Task {
        try await Task.sleep(for: .microseconds(round.at))
        if round.killsRuntime {
          // Until the container's life is over.
          while true {
            if let runtime = shim.runtimes(of: pid).first {
              kill(runtime, SIGKILL)
              return
            }
            try await Task.sleep(for: .microseconds(200))
          }
        } else {
          process.signal(SIGKILL)
        }
      }
      // Any step may fail with what is killed.
      let isDeleted = (try? await shim.with(socket) { try await Self.live(shim, $0) }) ?? false
      if round.killsRuntime { killer.cancel() }
      _ = await killer.result
      if !round.killsRuntime { _ = await process.waitForEnd(within: .seconds(30)) }
      if !isDeleted || !round.killsRuntime {
        // What a daemon does for a shim that is gone, or whose create failed.
        if round.killsRuntime { process.signal(SIGKILL) }
        _ = await process.waitForEnd(within: .seconds(30))
        let answer = try await shim.delete("c")
        let told = shim.told.first { $0.topic == "exit" && $0.exec == nil }?.status
        if let told, !shim.told.contains(where: { $0.topic == "delete" }) {
          #expect(answer.status == told, "\(words): \(shim.told)")
        }
      }
      let faults = OurShimOrder(events: shim.told).faults(isOver: isDeleted)
      #expect(faults == [], "\(words)")
    }
  }

  /// A container's life as a daemon leads it, which goes on behind a step that failed.
  private static func live(_ shim: OurShim, _ tasks: OurShim.Tasks) async throws -> Bool {
    let limit = Duration.seconds(60)
    do { _ = try await tasks.create(shim.creation("c"), timeout: limit) } catch {
      try await tasks.shutdown("c", timeout: limit)
      return false
    }
    // What these say is for the events to tell.
    if (try? await tasks.start("c", timeout: limit)) != nil {
      try? await tasks.exec(shim.exec("c", "e", ["/bin/sleep", "0.02"]), timeout: limit)
      if (try? await tasks.start("c", execID: "e", timeout: limit)) != nil {
        _ = try? await tasks.wait("c", execID: "e", timeout: limit)
      }
      _ = try? await tasks.delete("c", execID: "e", timeout: limit)
    }
    try await eventually("the container ends") {
      do { try await tasks.kill("c", signal: 9, timeout: limit) } catch let error as RPCError {
        guard error.reason == .status else { throw error }
      }
      return (try? await tasks.wait("c", timeout: .milliseconds(200))) != nil
    }
    try await eventually("the container is deleted") {
      do {
        _ = try await tasks.delete("c", timeout: limit)
        return true
      } catch let error as RPCError {
        guard error.reason == .status else { throw error }
        return false
      }
    }
    try await tasks.shutdown("c", timeout: limit)
    try await eventually("the delete is told") { shim.told.contains { $0.topic == "delete" } }
    return true
  }
}
