import ContainerdAPI
import Glibc
import ShimManagement
import Testing

extension RealShim {
  @Suite("a shim that is killed")
  struct ShimDeath {
    @Test(
      "ends every waiting hawse at once, and what it served is cleaned up",
      .timeLimit(.minutes(5)), arguments: ServingShim.allCases)
    func everybodyHears(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        try await hawse.sleeper("one", in: "pod1")
        try await hawse.sleeper("two", in: "pod1")
        let waiting = try ["one", "two"].map { try hawse.start("task", "wait", $0) }
        let run = try hawse.start(
          "task", "run", "--sandbox", "pod1", "--rootfs", hawse.rootfs, "--id", "three", "--",
          "sh", "-c", "echo ready; sleep 3600")
        let exec = try hawse.start(
          "task", "exec", "one", "--", "sh", "-c", "echo ready; sleep 3600")
        try await eventually("all are under way") {
          hawse.connectionsToShims == 4 && run.out == "ready\n"
            && exec.out == "ready\n"
        }
        let pids = ["pod1", "one", "two", "three"].flatMap { hawse.processes(of: $0) }
        #expect(pids.count >= 4)

        let shim = try #require(hawse.shims.first)
        kill(shim, SIGKILL)
        for process in waiting + [run, exec] {
          let result = try await process.result(within: .seconds(30))
          #expect(result.code == (process === run || process === exec ? 125 : 1), "\(result)")
          #expect(result.err.contains("the connection to its shim"), "\(result)")
        }
        #expect(try await hawse.sandboxes().isEmpty)
        #expect(try await hawse.tasks().isEmpty)
        for id in ["pod1", "one", "two", "three"] {
          #expect(hawse.processes(of: id).isEmpty, "\(id)")
          #expect(!HostFiles.exists(hawse.bundle(id)), "\(id)")
        }
      }
    }

    @Test(
      "is reported once for each of its tasks", .timeLimit(.minutes(5)),
      arguments: ServingShim.allCases)
    func exitsReportedOnce(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        try await hawse.sleeper("one", in: "pod1")
        try await hawse.sleeper("two", in: "pod1")
        let manager = try hawse.manager()
        let exits = Guarded<[String]>([])
        let listener = Task { [events = manager.events()] in
          for await event in events where event.topic == EventTopic.taskExit {
            let exit = try TypeURL.unpack(event.event, as: Containerd_Events_TaskExit.self)
            exits.update { $0.append(exit.containerID) }
          }
        }
        // One line to each, and a second one to the first.
        var waits: [Task<Void, any Error>] = []
        for id in ["pod1", "one", "two", "one"] {
          let task = try await manager.load(namespace: hawse.namespace, id: id)
          waits.append(Task { _ = try await task.wait() })
        }
        // A shim takes a line in its own time.
        try await eventually("there is one line") { hawse.connectionsToShims == 1 }

        kill(try #require(hawse.shims.first), SIGKILL)
        for wait in waits {
          await #expect {
            try await within(.seconds(30), "the end of a wait") { try await wait.value }
          } throws: {
            ($0 as? ShimManagementError)?.code == .shimDied
          }
        }
        try await eventually("every exit is reported") { exits.value.count >= 3 }
        await manager.settle()
        #expect(exits.value.sorted() == ["one", "pod1", "two"])
        #expect(exits.value.last == "pod1", "a sandbox goes after its tasks")
        listener.cancel()
        #expect(try await hawse.sandboxes().isEmpty)
      }
    }

    @Test(
      "while no hawse runs is found by the next one, and removed in any order",
      .timeLimit(.minutes(5)), arguments: [["pod1", "one"], ["one", "pod1"]], ServingShim.allCases)
    func foundLater(order: [String], shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        try await hawse.sleeper("one", in: "pod1")
        kill(try #require(hawse.shims.first), SIGKILL)
        try await eventually("the shim is gone") { hawse.shims.isEmpty }
        #expect(try await hawse.sandboxes().map(\.sandbox.status) == ["dead"])
        #expect(try await hawse.tasks().map(\.status) == ["dead"])
        let run = try await hawse.hawse(
          "task", "run", "--sandbox", "pod1", "--own-namespaces", "--rootfs", hawse.rootfs,
          "--id", "two", "--", "true")
        #expect(run.code == 125)
        #expect(run.err.contains("Nobody listens there any more"), "\(run)")
        for id in order where HostFiles.exists(hawse.bundle(id)) {
          let result = try await hawse.hawse(id == "pod1" ? "sandbox" : "task", "rm", id)
          #expect(result.code == 0, "\(result)")
        }
        #expect(hawse.processes(of: "pod1").isEmpty)
        #expect(hawse.processes(of: "one").isEmpty)
      }
    }
  }
}
