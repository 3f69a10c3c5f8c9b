import Glibc
import ShimManagement
import Testing

extension RealShim {
  /// `HAWSE_STOP_AT` stops a `hawse` when it has done a step; there it is killed.
  @Suite("a hawse that is killed")
  struct HawseDeath {
    enum Attach: String, CaseIterable, Sendable { case v2, binary }

    static let attachSteps: [(Attach, ManagerStep)] = [
      (.v2, .bundleCreated), (.v2, .sandboxRecorded), (.v2, .bootstrapRecorded), (.v2, .connected),
      (.v2, .taskCreated), (.v2, .taskStarted), (.v2, .taskDeleted), (.v2, .bundleDeleted),
      (.binary, .bundleCreated), (.binary, .shimStarted), (.binary, .bootstrapRecorded),
      (.binary, .connected), (.binary, .sandboxRecorded), (.binary, .taskCreated),
      (.binary, .taskStarted),
    ]

    @Test(
      "in an attach leaves what the next one lists and removes; the sandbox serves on",
      .timeLimit(.minutes(5)), arguments: attachSteps)
    func inAttach(mode: Attach, step: ManagerStep) async throws {
      try await HawseFixture.use { hawse in
        try await hawse.sandbox("pod1")
        let shims = hawse.shims
        let run = [
          "task", "run", "--sandbox", "pod1", "--attach", mode.rawValue, "--rootfs", hawse.rootfs,
          "--id", "one", "--", "sh", "-c", "exit 5",
        ]
        let stopped = try hawse.start(run, environment: ["HAWSE_STOP_AT=\(step.rawValue)"])
        #expect(try await stopped.stopped(), "\(step) does not occur: \(stopped.err)")
        try await stopped.kill()

        let left = try await hawse.tasks()
        if step == .bundleDeleted {
          #expect(left.isEmpty)
        } else {
          #expect(left.map(\.id) == ["one"])
          let removed = try await hawse.hawse("task", "rm", "--force", "one")
          #expect(removed.code == 0, "\(removed)")
        }
        #expect(try await hawse.tasks().isEmpty)
        #expect(hawse.processes(of: "one").isEmpty)
        #expect(!HostFiles.exists(hawse.bundle("one")))
        #expect(hawse.shims == shims)
        #expect(try await hawse.sandboxes().map(\.sandbox.status) == ["running"])
        let again = try await hawse.run(run)
        #expect(again.code == 5, "\(again)")
      }
    }

    static let startSteps: [ManagerStep] = [
      .bundleCreated, .shimStarted, .bootstrapRecorded, .connected, .taskCreated, .taskStarted,
    ]

    @Test(
      "in a sandbox's start leaves what the next one lists and removes",
      .timeLimit(.minutes(5)), arguments: startSteps)
    func inStart(step: ManagerStep) async throws {
      try await HawseFixture.use { hawse in
        let run = ["sandbox", "run", "--rootfs", hawse.rootfs, "pod1"]
        let stopped = try hawse.start(run, environment: ["HAWSE_STOP_AT=\(step.rawValue)"])
        #expect(try await stopped.stopped(), "\(step) does not occur: \(stopped.err)")
        try await stopped.kill()

        #expect(try await hawse.sandboxes().map(\.sandbox.id) == ["pod1"])
        let removed = try await hawse.hawse("sandbox", "rm", "--force", "pod1")
        #expect(removed.code == 0, "\(removed)")
        #expect(try await hawse.sandboxes().isEmpty)
        #expect(hawse.shims.isEmpty)
        let again = try await hawse.run(run)
        #expect(again.code == 0, "\(again)")
      }
    }

    @Test("in a sandbox's start, of a shim that is mute, leaves what is removed by force")
    func inStartOfMuteShim() async throws {
      try await HawseFixture.use { hawse in
        let run = ["sandbox", "run", "--rootfs", hawse.rootfs, "pod1"]
        let stopped = try hawse.start(
          run, environment: ["HAWSE_STOP_AT=\(ManagerStep.shimStarted.rawValue)"])
        #expect(try await stopped.stopped(), "\(stopped.err)")
        // As one is that opens its log only when nobody reads it any more.
        for shim in hawse.shims { kill(shim, SIGSTOP) }
        try await stopped.kill()

        let removed = try await hawse.hawse("sandbox", "rm", "--force", "pod1")
        #expect(removed.code == 0, "\(removed)")
        #expect(hawse.shims.isEmpty)
        let again = try await hawse.run(run)
        #expect(again.code == 0, "\(again)")
      }
    }

    @Test(
      "in a sandbox's removal leaves what the next one removes, if anything",
      .timeLimit(.minutes(5)), arguments: [ManagerStep.taskDeleted, .bundleDeleted])
    func inRemoval(step: ManagerStep) async throws {
      try await HawseFixture.use { hawse in
        try await hawse.sandbox("pod1")
        let stopped = try hawse.start(
          "sandbox", "rm", "--force", "pod1", environment: ["HAWSE_STOP_AT=\(step.rawValue)"])
        #expect(try await stopped.stopped(), "\(step) does not occur: \(stopped.err)")
        try await stopped.kill()
        for sandbox in try await hawse.sandboxes() {
          let removed = try await hawse.hawse("sandbox", "rm", sandbox.sandbox.id)
          #expect(removed.code == 0, "\(removed)")
        }
        #expect(hawse.shims.isEmpty)
        #expect(!HostFiles.exists(hawse.bundle("pod1")))
      }
    }
  }
}
