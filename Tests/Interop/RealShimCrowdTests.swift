import ContainerdClient
import ShimManagement
import Testing

extension RealShim {
  @Suite("many tasks at once")
  struct Crowd {
    @Test(
      "50 tasks of one process share one connection to their sandbox", .timeLimit(.minutes(10)),
      arguments: ServingShim.allCases)
    func fifty(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let shims = hawse.shims
        let manager = try hawse.manager()
        let numbers = Array(0..<50)
        let tasks = try await withThrowingTaskGroup(of: (Int, ShimTask).self) { group in
          for number in numbers {
            group.addTask {
              (number, try await hawse.attach("t\(number)", to: "pod1", manager, "exit \(number)"))
            }
          }
          return try await group.reduce(into: [(Int, ShimTask)]()) { $0.append($1) }
        }
        #expect(tasks.count == 50)
        try await eventually("there is one line") { hawse.connectionsToShims == 1 }
        #expect(try await hawse.tasks().count == 50)

        let exits = try await withThrowingTaskGroup(of: (Int, UInt32).self) { group in
          for (number, task) in tasks {
            group.addTask {
              _ = try await task.create(hawse.creation(of: task))
              try await task.start()
              return (number, try await task.wait(timeout: .seconds(120)).status)
            }
          }
          return try await group.reduce(into: [Int: UInt32]()) { $0[$1.0] = $1.1 }
        }
        #expect(exits == Dictionary(uniqueKeysWithValues: numbers.map { ($0, UInt32($0)) }))
        #expect(hawse.connectionsToShims == 1)
        #expect(hawse.shims == shims)

        let ends = try await withThrowingTaskGroup(of: (Int, UInt32?).self) { group in
          for (number, task) in tasks {
            group.addTask { (number, try await manager.delete(task)?.status) }
          }
          return try await group.reduce(into: [Int: UInt32?]()) { $0[$1.0] = $1.1 }
        }
        #expect(ends.allSatisfy { $0.value == UInt32($0.key) })
        try await eventually("the connection is closed") { hawse.connectionsToShims == 0 }
        #expect(try await hawse.tasks().isEmpty)
      }
    }

    @Test(
      "10 hawse at once each run their task", .timeLimit(.minutes(10)),
      arguments: ServingShim.allCases)
    func tenProcesses(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let shims = hawse.shims
        let running = try (0..<10).map { number in
          try hawse.start(
            "task", "run", "--sandbox", "pod1", "--rootfs", hawse.rootfs, "--id", "t\(number)",
            "--", "sh", "-c", "echo this is \(number); exit \(number)")
        }
        for (number, process) in running.enumerated() {
          let result = try await process.result(within: .seconds(120))
          #expect(result.code == Int32(number), "\(result)")
          #expect(result.out == "this is \(number)\n")
        }
        #expect(hawse.shims == shims)
        #expect(try await hawse.tasks().isEmpty)
      }
    }
  }
}
