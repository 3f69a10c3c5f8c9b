import Glibc
import Testing

extension RealShim {
  @Suite("tasks in a sandbox")
  struct Tasks {
    @Test(
      "live in the sandbox's one shim, from run to rm", .timeLimit(.minutes(5)),
      arguments: ServingShim.allCases)
    func life(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let shims = hawse.shims
        #expect(shims.count == 1)
        try await hawse.sleeper("one", in: "pod1")
        try await hawse.sleeper("two", in: "pod1")
        #expect(hawse.shims == shims)

        let tasks = try await hawse.tasks()
        #expect(tasks.map(\.id) == ["one", "two"])
        #expect(tasks.map(\.sandbox) == ["pod1", "pod1"])
        #expect(tasks.map(\.joined) == ["attached", "attached"])
        #expect(tasks.map(\.version) == [2, 2])
        #expect(tasks.map(\.status) == ["running", "running"])
        let address = try #require(try await hawse.sandboxes().first?.sandbox.address)
        #expect(tasks.map(\.address) == [address, address])

        let waiting = try hawse.start("task", "wait", "one")
        #expect(try await hawse.hawse("task", "kill", "--signal", "KILL", "one").code == 0)
        #expect(try await waiting.result().out == "137\n")
        #expect(try await hawse.tasks().map(\.status) == ["stopped", "running"])
        #expect(try await hawse.tasks().first?.exitStatus == 137)
        #expect(try await hawse.hawse("task", "rm", "one").code == 0)

        let running = try await hawse.hawse("task", "rm", "two")
        #expect(running.code == 1)
        #expect(try await hawse.tasks().map(\.status) == ["running"])
        let busy = try await hawse.hawse("sandbox", "rm", "pod1")
        #expect(busy.code == 1)
        #expect(busy.err.contains("two is attached to it"), "\(busy)")
        #expect(try await hawse.hawse("task", "rm", "--force", "two").code == 0)
        #expect(try await hawse.hawse("sandbox", "rm", "--force", "pod1").code == 0)
        #expect(hawse.shims.isEmpty)
      }
    }

    @Test(
      "give their streams and exit status to run and exec", .timeLimit(.minutes(5)),
      arguments: ServingShim.allCases)
    func streams(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let run = try await hawse.hawse(
          "task", "run", "--sandbox", "pod1", "--attach", "v2", "--rootfs", hawse.rootfs,
          "--env", "GREETING=hello", "--", "sh", "-c", "echo $GREETING; echo oops >&2; exit 3")
        #expect(run.code == 3)
        #expect(run.out == "hello\n")
        #expect(run.err == "oops\n")

        try await hawse.sleeper("one", in: "pod1")
        let exec = try await hawse.hawse(
          "task", "exec", "--interactive", "one", "--", "sh", "-c", "cat; echo end >&2; exit 4",
          input: Array("to be read back\n".utf8))
        #expect(exec.code == 4)
        #expect(exec.out == "to be read back\n")
        #expect(exec.err == "end\n")

        let missing = try await hawse.hawse("task", "exec", "one", "--", "no-such-program")
        #expect(missing.code == 125)
        #expect(missing.err.contains("no-such-program"), "\(missing)")
        #expect(try await hawse.tasks().map(\.id) == ["one"])
      }
    }

    @Test(
      "that end before their start was answered keep their exit status", .timeLimit(.minutes(5)),
      arguments: ServingShim.allCases)
    func shortLives(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        for round in 0..<20 {
          let result = try await hawse.hawse(
            "task", "run", "--sandbox", "pod1", "--rootfs", hawse.rootfs, "--",
            round.isMultiple(of: 2) ? "/bin/true" : "/bin/false")
          #expect(result.code == Int32(round % 2), "\(result)")
          #expect(result.err == "")
        }
      }
    }

    @Test(
      "whose program is not there are refused, and leave nothing", .timeLimit(.minutes(5)),
      arguments: ServingShim.allCases)
    func missingProgram(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let result = try await hawse.hawse(
          "task", "run", "--sandbox", "pod1", "--rootfs", hawse.rootfs, "--id", "one", "--",
          "no-such-program")
        #expect(result.code == 125)
        #expect(result.err.contains("no-such-program"), "\(result)")
        #expect(try await hawse.tasks().isEmpty)
        #expect(!HostFiles.exists(hawse.bundle("one")))
      }
    }
  }
}
