import Glibc
import ProcessSupervision
import Testing

/// Loggers of `binary://` and `binary-v2://`, as containerd's clients name them.
@Suite("loggers of our shim under containerd", .timeLimit(.minutes(3)))
struct ContainerdOurShimLoggerTests {
  @Test(
    "a logger has what its container prints, to the last byte, and ends with it",
    arguments: ContainerdRelease.allCases)
  func output(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      for (version, ready) in [("binary", "exec 5>&-"), ("binary-v2", "printf r >&5; exec 5>&-")] {
        let logger = try containerd.script(
          "logger-\(version)",
          """
          \(ready)
          cat <&4 > $2.err &
          cat <&3 > $2.out; wait
          echo "$CONTAINER_NAMESPACE $CONTAINER_ID" > $2.done
          """)
        let target = "\(containerd.directory)/\(version)"
        let started = try await containerd.ctr(
          ["run", "-d", "--log-uri", "\(version)://\(logger)?to=\(target)"]
            + containerd.options(version) + ["/bin/sh", "-c", "seq 1 20000; echo e >&2"])
        try #require(started.code == 0, "\(started)")
        try await eventually("the container has ended") {
          try await containerd.status(version) == "STOPPED"
        }
        let removed = try await containerd.ctr(["task", "rm", "\(containerd.mark)-\(version)"])
        #expect(removed.code == 0, "\(removed)")
        // Delete waits for it.
        #expect(HostFiles.text("\(target).done") == "default \(containerd.mark)-\(version)\n")
        #expect(HostFiles.lines("\(target).out").count == 20000)
        #expect(HostFiles.text("\(target).err") == "e\n")
      }
    }
  }

  @Test(
    "a logger that does not get ready fails the create, by name, and leaves nothing",
    arguments: ContainerdRelease.allCases)
  func notReady(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      let logger = try containerd.script("logger", "exit 1")
      let result = try await containerd.ctr(
        ["run", "-d", "--log-uri", "binary-v2://\(logger)"] + containerd.options("c")
          + ["/bin/true"])
      #expect(result.code != 0 && result.err.contains("the logger \(logger)"), "\(result)")
    }
  }

  @Test("a logger whose shim is killed ends, too", arguments: ContainerdRelease.allCases)
  func killedShim(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      let logger = try containerd.script(
        "logger", "trap '' TERM; exec 5>&-; cat <&3 > $dir/out; while :; do sleep 1; done")
      let started = try await containerd.ctr(
        ["run", "-d", "--log-uri", "binary://\(logger)"] + containerd.options("c")
          + ["/bin/sh", "-c", "echo early; sleep 3600"])
      try #require(started.code == 0, "\(started)")
      try await eventually("it has the output") {
        HostFiles.text("\(containerd.directory)/out") == "early\n"
      }
      kill(try containerd.shim("c"), SIGKILL)
      try await eventually("the daemon has cleaned up") {
        try await containerd.status("c") == nil
      }
    }
  }
}
