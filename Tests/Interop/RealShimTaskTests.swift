import Testing

extension RealShim {
  @Suite("tasks in a sandbox")
  struct Tasks {
    @Test("two tasks attach to one shim, and nothing of them is left", .timeLimit(.minutes(5)))
    func twoTasks() async throws {
      try await HawseFixture.use { hawse in
        try await hawse.sandbox("pod1")
        try await hawse.sleeper("one", in: "pod1")
        try await hawse.sleeper("two", in: "pod1")
        #expect(hawse.shims.count == 1)
        let tasks = try await hawse.tasks()
        #expect(tasks.map(\.id) == ["one", "two"])
        #expect(tasks.map(\.sandbox) == ["pod1", "pod1"])
        #expect(tasks.map(\.joined) == ["attached", "attached"])
        #expect(tasks.map(\.status) == ["running", "running"])
      }
    }
  }
}
