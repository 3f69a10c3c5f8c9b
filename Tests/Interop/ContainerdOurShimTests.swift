import Glibc
import ProcessSupervision
import Testing

/// Our shim under the containerds of two Debian releases (1.6 and 2.1) with Debian's runc.
@Suite("containerd runs containers through our shim", .containerdReleases, .timeLimit(.minutes(5)))
struct ContainerdOurShimTests {
  @Test(
    "a container's output, input and exit code are its client's",
    arguments: ContainerdRelease.allCases)
  func run(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      let result = try await containerd.run(
        "run", "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
      #expect(
        result.code == 3 && result.out == "out\n" && result.err.hasPrefix("err\n"), "\(result)")
      let echoed = try await containerd.run(
        "echo", "/bin/head", "-n", "1", input: Array("what comes in\n".utf8))
      #expect(echoed.code == 0 && echoed.out == "what comes in\n", "\(echoed)")
      let much = try await containerd.run("much", "/bin/sh", "-c", "seq 1 200000")
      #expect(much.out.split(separator: "\n").count == 200_000, "\(much.code)")
      #expect(much.out.hasSuffix("\n200000\n"))
    }
  }

  @Test(
    "a program that is not there is an error with the runtime's words, and leaves nothing",
    arguments: ContainerdRelease.allCases)
  func noProgram(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      let result = try await containerd.run("none", "/bin/not-there")
      #expect(result.code != 0 && result.err.contains("not-there"), "\(result)")
    }
  }

  @Test(
    "execs run beside the init, each with its own output and code",
    arguments: ContainerdRelease.allCases)
  func exec(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      try await containerd.sleeper("c")
      #expect(try await containerd.status("c") == "RUNNING")
      for code in [0, 5] as [Int32] {
        let result = try await containerd.ctr([
          "task", "exec", "--exec-id", "e\(code)", "\(containerd.mark)-c", "/bin/sh", "-c",
          "echo in $$; exit \(code)",
        ])
        #expect(result.code == code && result.out.hasPrefix("in "), "\(result)")
      }
      let terminal = try await containerd.ctr([
        "task", "exec", "--exec-id", "t", "\(containerd.mark)-c", "/bin/sh", "-c",
        "test -t 1 || echo none",
      ])
      #expect(terminal.out == "none\n", "\(terminal)")
      let listed = try await containerd.ctr(["task", "ps", "\(containerd.mark)-c"])
      #expect(listed.out.split(separator: "\n").count == 2, "\(listed)")
    }
  }

  @Test(
    "pause, resume, statistics and kill do as they say",
    arguments: ContainerdRelease.allCases)
  func control(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      let id = "\(containerd.mark)-c"
      try await containerd.sleeper("c")
      #expect(try await containerd.ctr(["task", "pause", id]).code == 0)
      #expect(try await containerd.status("c") == "PAUSED")
      #expect(try await containerd.ctr(["task", "resume", id]).code == 0)
      #expect(try await containerd.status("c") == "RUNNING")
      let figures = try await containerd.ctr(["task", "metrics", id])
      #expect(figures.code == 0 && figures.out.contains("pids.current"), "\(figures)")
      #expect(try await containerd.ctr(["task", "kill", "-s", "KILL", id]).code == 0)
      try await eventually("the container has ended") {
        try await containerd.status("c") == "STOPPED"
      }
      let removed = try await containerd.ctr(["task", "rm", id])
      #expect(removed.code == 0 || removed.code == 137, "\(removed)")
      #expect(try await containerd.status("c") == nil)
    }
  }

  @Test(
    "a daemon that is killed and started again finds its containers running",
    arguments: ContainerdRelease.allCases)
  func restart(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      try await containerd.sleeper("c")
      let shim = try containerd.shim("c")
      try await containerd.killDaemon()
      try await containerd.startDaemon()
      #expect(try await containerd.status("c") == "RUNNING")
      #expect(try containerd.shim("c") == shim)
      let result = try await containerd.ctr([
        "task", "exec", "--exec-id", "e", "\(containerd.mark)-c", "/bin/echo", "here",
      ])
      #expect(result.out == "here\n", "\(result)")
    }
  }

  @Test(
    "a shim that is killed takes its container along, and leaves nothing",
    arguments: ContainerdRelease.allCases)
  func death(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      try await containerd.sleeper("c")
      kill(try containerd.shim("c"), SIGKILL)
      try await eventually("the daemon has cleaned up") {
        try await containerd.status("c") == nil
      }
    }
  }

  @Test(
    "of each of many containers the events come in their order, once",
    arguments: ContainerdRelease.allCases)
  func events(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      let events = "\(containerd.directory)/events"
      let listener = try containerd.listen(to: events)
      let names = (0..<12).map { "n\($0)" }
      try await withThrowingTaskGroup(of: Int32?.self) { group in
        for name in names {
          group.addTask { try await containerd.run(name, "/bin/sh", "-c", "exit 4").code }
        }
        for try await code in group { #expect(code == 4) }
      }
      let wanted = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
      func seen(_ name: String) -> [String] { containerd.topics(of: name, in: events) }
      try await eventually("all events have come") {
        names.allSatisfy { seen($0).count >= wanted.count }
      }
      for name in names { #expect(seen(name) == wanted, "\(name)") }
      listener.signal(SIGTERM)
      _ = try await listener.wait()
    }
  }
}
