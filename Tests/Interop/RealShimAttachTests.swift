import ShimManagement
import Testing

extension RealShim {
  @Suite("ways to attach")
  struct Attaching {
    @Test(
      "through the binary, the sandbox's shim is reused", .timeLimit(.minutes(5)),
      arguments: ServingShim.allCases)
    func reused(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let shims = hawse.shims
        let result = try await hawse.hawse(
          "task", "run", "--sandbox", "pod1", "--attach", "binary", "--rootfs", hawse.rootfs,
          "--id", "one", "--detach", "--", "sleep", "3600")
        #expect(result.code == 0, "\(result)")
        #expect(hawse.shims == shims)
        let task = try #require(try await hawse.tasks().first)
        #expect(task.joined == "reused")
        #expect(task.sandbox == "pod1")
        #expect(try await hawse.hawse("task", "rm", "--force", "one").code == 0)
        #expect(hawse.shims == shims)
      }
    }

    @Test(
      "through the binary, a shim that does not group gives one of its own, and says so",
      .timeLimit(.minutes(5)), arguments: ServingShim.allCases)
    func ownShim(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        // A shim that listens for another group than the tasks that will want to join it.
        hawse.note("elsewhere")
        var spec = try OCISpec.standard(
          id: "solo", namespace: hawse.namespace, args: ["sleep", "3600"])
        spec.annotations[OCISpec.groupAnnotation] = "elsewhere"
        spec.annotations["io.kubernetes.cri.sandbox-id"] = "elsewhere"
        let config = try hawse.file("config.json", spec.bytes())
        let first = try await hawse.hawse(
          "task", "run", "--runtime", shim.path, "--config", config, "--rootfs", hawse.rootfs,
          "--id",
          "solo", "--detach")
        try #require(first.code == 0, "\(first)")
        #expect(hawse.shims.count == 1)

        let result = try await hawse.hawse(
          "task", "run", "--sandbox", "solo", "--attach", "binary", "--rootfs", hawse.rootfs,
          "--id", "one", "--detach", "--", "sleep", "3600")
        #expect(result.code == 0, "\(result)")
        #expect(result.err.contains("a shim of its own for one"), "\(result)")
        #expect(hawse.shims.count == 2)
        let task = try #require(try await hawse.tasks().first { $0.id == "one" })
        #expect(task.joined == "started")
        #expect(task.sandbox == nil)
        #expect(try await hawse.hawse("task", "rm", "--force", "one").code == 0)
        #expect(hawse.shims.count == 1)
      }
    }

    @Test(
      "as version 3 to an endpoint of version 2 is refused before anything is made",
      .timeLimit(.minutes(5)), arguments: ServingShim.allCases)
    func wrongVersion(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let result = try await hawse.hawse(
          "task", "run", "--sandbox", "pod1", "--attach", "v3", "--rootfs", hawse.rootfs,
          "--id", "one", "--", "true")
        #expect(result.code == 125)
        #expect(
          result.err.contains("cannot attach to sandbox pod1") && result.err.contains("version 2"),
          "\(result)")
        #expect(!HostFiles.exists(hawse.bundle("one")))
        #expect(
          !HostFiles.exists(
            hawse.stateDirectory.workPath(
              namespace: hawse.namespace, id: "one")))
      }
    }

    @Test(
      "to an address that says version 3 falls back to 2 where need be, and that is remembered",
      .timeLimit(.minutes(5)), arguments: ServingShim.allCases)
    func negotiated(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let address = try #require(try await hawse.sandboxes().first?.sandbox.address)
        let result = try await hawse.hawse(
          "task", "run", "--sandbox", "pod1", "--address", "ttrpc+\(address)", "--api-version",
          "3", "--rootfs", hawse.rootfs, "--id", "one", "--detach", "--", "sleep", "3600")
        #expect(result.code == 0, "\(result)")
        let task = try #require(try await hawse.tasks().first)
        #expect(task.version == (shim == .debian ? 2 : 3))
        #expect(task.joined == "attached")
      }
    }

    @Test(
      "to a sandbox that is not there, or whose socket nobody serves, is a clear error",
      .timeLimit(.minutes(5)), arguments: ServingShim.allCases)
    func nobody(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        let missing = try await hawse.hawse(
          "task", "run", "--sandbox", "pod9", "--rootfs", hawse.rootfs, "--id", "one", "--", "true")
        #expect(missing.code == 125)
        #expect(missing.err.contains("pod9"), "\(missing)")

        let dead = try await hawse.hawse(
          "task", "run", "--sandbox", "pod9", "--address", "ttrpc+unix://\(hawse.directory)/none",
          "--api-version", "3", "--rootfs", hawse.rootfs, "--id", "one", "--", "true")
        #expect(dead.code == 125)
        #expect(dead.err.contains("\(hawse.directory)/none"), "\(dead)")
        #expect(!HostFiles.exists(hawse.bundle("one")))
      }
    }

    @Test(
      "of two at once with the same id one wins, and the other harms it not",
      .timeLimit(.minutes(5)), arguments: ServingShim.allCases)
    func sameID(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        let sandboxes = try (0..<2).map { _ in
          try hawse.start("sandbox", "run", "--rootfs", hawse.rootfs, "pod1")
        }
        try await Self.expectOneWinner(sandboxes, of: "pod1")
        #expect(hawse.shims.count == 1)
        #expect(try await hawse.sandboxes().map(\.sandbox.status) == ["running"])

        let tasks = try (0..<2).map { _ in
          try hawse.start(
            "task", "run", "--sandbox", "pod1", "--rootfs", hawse.rootfs, "--id", "one",
            "--detach", "--", "sleep", "3600")
        }
        try await Self.expectOneWinner(tasks, of: "one")
        #expect(try await hawse.tasks().map(\.status) == ["running"])
        let exec = try await hawse.hawse("task", "exec", "one", "--", "echo", "there")
        #expect(exec.out == "there\n", "\(exec)")
      }
    }

    static func expectOneWinner(_ processes: [HawseProcess], of id: String) async throws {
      var results: [HawseResult] = []
      for process in processes { results.append(try await process.result()) }
      #expect(results.map(\.code).sorted() == [0, 125], "\(results)")
      let loser = try #require(results.first { $0.code != 0 })
      #expect(loser.err.contains(id) && loser.err.contains("already there"), "\(loser)")
    }
  }
}
