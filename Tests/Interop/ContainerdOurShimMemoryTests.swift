import Glibc
import ProcessSupervision
import Testing

/// A container whose memory runs out, under Debian's containerd and runc.
@Suite("a container of ours whose memory runs out", .timeLimit(.minutes(3)))
struct ContainerdOurShimMemoryTests {
  @Test(
    "the daemon is told before the container's end, and of an exec's kill as well",
    arguments: ContainerdRelease.allCases)
  func events(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      let events = "\(containerd.directory)/events"
      let listener = try containerd.listen(to: events)
      // It grows until it is killed, whatever swap there is.
      let result = try await containerd.ctr(
        ["run", "--rm", "--memory-limit", "\(24 << 20)"] + containerd.options("init")
          + ["/bin/tail", "/dev/zero"])
      #expect(result.code == 137, "\(result)")

      let sleeper = try await containerd.ctr(
        ["run", "-d", "--memory-limit", "\(24 << 20)"] + containerd.options("exec")
          + ["/bin/sleep", "3600"])
      try #require(sleeper.code == 0, "\(sleeper)")
      let id = "\(containerd.mark)-exec"
      let exec = try await containerd.ctr([
        "task", "exec", "--exec-id", "e", id, "/bin/tail", "/dev/zero",
      ])
      #expect(exec.code == 137, "\(exec)")
      #expect(try await containerd.status("exec") == "RUNNING")
      _ = try await containerd.ctr(["task", "rm", "-f", id])

      try await eventually("all events have come") {
        ["init", "exec"].allSatisfy {
          containerd.topics(of: $0, in: events).contains("/tasks/delete")
        }
      }
      #expect(
        Self.withoutRepeats(containerd.topics(of: "init", in: events)) == [
          "/tasks/create", "/tasks/start", "/tasks/oom", "/tasks/exit", "/tasks/delete",
        ])
      #expect(
        Self.withoutRepeats(containerd.topics(of: "exec", in: events)) == [
          "/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started",
          "/tasks/oom", "/tasks/exit", "/tasks/delete",
        ])
      listener.signal(SIGTERM)
      _ = try await listener.wait()
    }
  }

  /// The kernel may run out of memory more than once before it kills.
  private static func withoutRepeats(_ topics: [String]) -> [String] {
    topics.reduce(into: []) { if $0.last != $1 { $0.append($1) } }
  }
}
