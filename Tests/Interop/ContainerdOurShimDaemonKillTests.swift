import Glibc
import ProcessSupervision
import Testing

/// A daemon that is killed while it works.
@Suite("containerd killed at any point, with our shim", .timeLimit(.minutes(10)))
struct ContainerdOurShimDaemonKillTests {
  @Test("what was begun can be removed by the next daemon, and nothing is left")
  func rounds() async throws {
    let seed = Effort.seed
    var random = SeededNumbers(seed: seed)
    let pauses = (0..<(Effort.isFull ? 40 : 5)).map { _ in
      Int.random(in: 0..<500, using: &random)
    }
    try await ContainerdFixture.use { containerd in
      for (round, pause) in pauses.enumerated() {
        let words = "seed \(seed), round \(round), after \(pause) ms"
        let names = (0..<3).map { "r\(round)n\($0)" }
        try await withThrowingTaskGroup(of: Void.self) { group in
          for (number, name) in names.enumerated() {
            group.addTask {
              // It fails when the daemon dies in its middle.
              _ = try? await containerd.ctr(
                ["run", "-d"] + containerd.options(name)
                  + (number == 0 ? ["/bin/sleep", "1000"] : ["/bin/sh", "-c", "exit \(number)"]))
            }
          }
          try await Task.sleep(for: .milliseconds(pause))
          try await containerd.killDaemon()
          try await containerd.startDaemon()
          try await group.waitForAll()
        }
        for name in names {
          let id = "\(containerd.mark)-\(name)"
          try await eventually("\(name) is removed: \(words)") {
            _ = try await containerd.ctr(["task", "rm", "-f", id])
            _ = try await containerd.ctr(["container", "rm", id])
            let left = try await containerd.ctr(["container", "ls", "-q"]).out
            return !left.split(separator: "\n").contains(id[...])
          }
        }
      }
      // This daemon knows nothing any more of a shim that it had started and given no container to,
      // whoever's shim it is. One of ours that has none ends when it is told to.
      for shim in containerd.shims {
        let started = HostFiles.names(in: "/proc/\(shim)/task").flatMap { thread in
          HostFiles.text("/proc/\(shim)/task/\(thread)/children").split(separator: " ")
        }
        #expect(started == [], "shim \(shim) has processes; seed \(seed)")
        let process = ProcessIdentity(pid: shim)
        process?.signal(SIGTERM)
        #expect(await process?.waitForEnd(within: .seconds(30)) != false)
      }
    }
  }
}
