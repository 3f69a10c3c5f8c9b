import Glibc
import ProcessSupervision
import Testing

/// The same life of containers by each OCI runtime that Debian has.
@Suite("our shim drives runc and crun alike", .serialized, .timeLimit(.minutes(5)))
struct ContainerdOurShimRuntimesTests {
  static let runtimes = ["/usr/sbin/runc", "/usr/bin/crun"]

  private func with(
    _ runtime: String, _ body: (ContainerdFixture) async throws -> Void
  ) async throws {
    guard access(runtime, X_OK) == 0 else { throw RealPeers.Missing(path: runtime) }
    try await ContainerdFixture.use { containerd in
      // crun refuses a host that has controllers in version 2 of cgroups beside version 1, which
      // runc uses there: it is run where version 2 is not to be seen.
      try containerd.runtime(
        """
        unified=/sys/fs/cgroup/unified
        if [ \(runtime) = /usr/bin/crun ] && [ -n "$(cat $unified/cgroup.controllers 2>&-)" ]; then
          [ -n "$HIDDEN" ] || HIDDEN=1 exec unshare -m "$0" "$@"
          umount $unified
        fi
        echo "$*" >> $dir/calls
        exec \(runtime) "$@"
        """)
      try await body(containerd)
      #expect(HostFiles.text("\(containerd.directory)/calls").contains(" create "))
    }
  }

  @Test("output, input, exit codes, and a program that is not there", arguments: runtimes)
  func run(runtime: String) async throws {
    try await with(runtime) { containerd in
      let result = try await containerd.run(
        "run", "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
      #expect(
        result.code == 3 && result.out == "out\n" && result.err.hasPrefix("err\n"), "\(result)")
      let echoed = try await containerd.run(
        "echo", "/bin/head", "-n", "1", input: Array("what comes in\n".utf8))
      #expect(echoed.code == 0 && echoed.out == "what comes in\n", "\(echoed)")
      let none = try await containerd.run("none", "/bin/not-there")
      #expect(none.code != 0 && none.err.contains("not-there"), "\(none)")
    }
  }

  @Test("exec, ps, pause, resume, statistics, kill and delete", arguments: runtimes)
  func control(runtime: String) async throws {
    try await with(runtime) { containerd in
      let id = "\(containerd.mark)-c"
      try await containerd.sleeper("c")
      let exec = try await containerd.ctr([
        "task", "exec", "--exec-id", "e", id, "/bin/sh", "-c", "echo in; exit 5",
      ])
      #expect(exec.code == 5 && exec.out == "in\n", "\(exec)")
      let missing = try await containerd.ctr(["task", "exec", "--exec-id", "m", id, "/not/there"])
      #expect(missing.code != 0 && missing.err.contains("/not/there"), "\(missing)")
      let listed = try await containerd.ctr(["task", "ps", id])
      #expect(listed.out.split(separator: "\n").count == 2, "\(listed)")
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
      let again = try await containerd.ctr(["task", "kill", "-s", "KILL", id])
      #expect(again.err.contains("not found"), "\(again)")
      let removed = try await containerd.ctr(["task", "rm", id])
      #expect(removed.code == 0 || removed.code == 137, "\(removed)")
      #expect(try await containerd.status("c") == nil)
    }
  }

  @Test(
    "memory that runs out is told, and a killed shim takes its container along", arguments: runtimes
  )
  func ends(runtime: String) async throws {
    try await with(runtime) { containerd in
      let events = "\(containerd.directory)/events"
      let listener = try containerd.listen(to: events)
      let result = try await containerd.ctr(
        ["run", "--rm", "--memory-limit", "\(24 << 20)"] + containerd.options("m")
          + ["/bin/tail", "/dev/zero"])
      #expect(result.code == 137, "\(result)")
      try await eventually("it is told") {
        let topics = containerd.topics(of: "m", in: events)
        return topics.contains("/tasks/oom") && topics.last == "/tasks/delete"
      }
      let topics = containerd.topics(of: "m", in: events)
      let oom = try #require(topics.firstIndex(of: "/tasks/oom"))
      #expect(oom < topics.firstIndex(of: "/tasks/exit") ?? 0, "\(topics)")
      try await containerd.sleeper("c")
      kill(try containerd.shim("c"), SIGKILL)
      try await eventually("the daemon has cleaned up") {
        try await containerd.status("c") == nil
      }
      listener.signal(SIGTERM)
      _ = try await listener.wait()
    }
  }
}
