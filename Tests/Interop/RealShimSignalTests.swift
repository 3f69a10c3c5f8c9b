import Glibc
import ShimManagement
import Testing

extension RealShim {
  @Suite("signals to hawse")
  struct HawseSignals {
    @Test(
      "go to the task that runs in the foreground", .timeLimit(.minutes(5)),
      arguments: [("TERM", SIGTERM), ("INT", SIGINT), ("USR1", SIGUSR1)], ServingShim.allCases)
    func passedOn(signal: (name: String, number: Int32), shim: ServingShim) async throws {
      let (name, number) = signal
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let run = try hawse.start(
          "task", "run", "--sandbox", "pod1", "--rootfs", hawse.rootfs, "--id", "one", "--", "sh",
          "-c",
          "trap 'echo got \(name); exit 33' \(name); echo ready; while :; do usleep 20000; done")
        try await eventually("the task is ready") { run.out == "ready\n" }
        run.signal(number)
        let result = try await run.result()
        #expect(result.code == 33, "\(result)")
        #expect(result.out == "ready\ngot \(name)\n")
        #expect(try await hawse.tasks().isEmpty)
      }
    }

    @Test(
      "while it attaches, they make it clean up", .timeLimit(.minutes(5)),
      arguments: [ManagerStep.bundleCreated, .sandboxRecorded, .connected, .taskCreated],
      ServingShim.allCases)
    func whileAttaching(step: ManagerStep, shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let run = try hawse.start(
          "task", "run", "--sandbox", "pod1", "--rootfs", hawse.rootfs, "--id", "one", "--", "sh",
          "-c", "trap 'exit 33' INT; while :; do usleep 20000; done",
          environment: ["HAWSE_STOP_AT=\(step.rawValue)"])
        #expect(try await run.stopped(), "\(step) does not occur: \(run.err)")
        run.signal(SIGINT)
        run.signal(SIGCONT)
        let result = try await run.result()
        // Where the task was started before the signal was looked at, it was the task's.
        #expect([125, 33].contains(result.code), "\(result)")
        #expect(try await hawse.tasks().isEmpty)
        #expect(!HostFiles.exists(hawse.bundle("one")))
        #expect(try await hawse.sandboxes().map(\.sandbox.status) == ["running"])
      }
    }

    @Test(
      "while it starts a sandbox, they make it clean up", .timeLimit(.minutes(5)),
      arguments: [ManagerStep.bundleCreated, .shimStarted, .connected, .taskCreated],
      ServingShim.allCases)
    func whileStarting(step: ManagerStep, shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        let run = try hawse.start(
          "sandbox", "run", "--rootfs", hawse.rootfs, "pod1",
          environment: ["HAWSE_STOP_AT=\(step.rawValue)"])
        #expect(try await run.stopped(), "\(step) does not occur: \(run.err)")
        run.signal(SIGINT)
        run.signal(SIGCONT)
        let result = try await run.result()
        if result.code == 0 {
          // It was through before the signal was looked at.
          #expect(try await hawse.sandboxes().map(\.sandbox.status) == ["running"])
        } else {
          #expect(result.code == 125, "\(result)")
          #expect(try await hawse.sandboxes().isEmpty)
          #expect(hawse.shims.isEmpty)
          #expect(!HostFiles.exists(hawse.bundle("pod1")))
        }
      }
    }
  }
}
