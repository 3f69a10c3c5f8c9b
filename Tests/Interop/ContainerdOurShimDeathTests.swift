import Glibc
import ProcessSupervision
import Testing

/// What the daemon learns of a container when our shim is killed.
@Suite("containers whose shim of ours is killed", .timeLimit(.minutes(5)))
struct ContainerdOurShimDeathTests {
  /// The exit status in each of a container's exit events.
  private func statuses(_ name: String, _ events: String, _ mark: String) -> [Int] {
    HostFiles.lines(events)
      .filter { $0.contains("/tasks/exit") && $0.contains("\"\(mark)-\(name)\"") }
      .map { line in
        guard let key = line.range(of: "\"exit_status\":") else { return 0 }
        return Int(line[key.upperBound...].prefix { $0.isNumber }) ?? -1
      }
  }

  @Test(
    "an end that the shim saw keeps its status; one that nobody saw is not known; one killed is",
    arguments: ContainerdRelease.allCases)
  func status(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      let events = "\(containerd.directory)/events"
      let listener = try containerd.listen(to: events)
      let seen = try await containerd.ctr(
        ["run", "-d"] + containerd.options("seen") + ["/bin/sh", "-c", "exit 7"])
      try #require(seen.code == 0, "\(seen)")
      try await containerd.sleeper("killed")
      try await containerd.sleeper("unseen")
      try await eventually("the first has ended") {
        try await containerd.status("seen") == "STOPPED"
      }
      let shim = try containerd.shim("unseen")
      let pid = try await containerd.pid("unseen")
      kill(shim, SIGSTOP)
      kill(pid, SIGKILL)
      try await eventually("it has ended") { ProcessStatus(pid: pid)?.isDead != false }
      for name in ["seen", "killed", "unseen"] { kill(try containerd.shim(name), SIGKILL) }
      try await eventually("the daemon has cleaned up") {
        for name in ["seen", "killed", "unseen"] where try await containerd.status(name) != nil {
          return false
        }
        return true
      }
      let mark = containerd.mark
      try await eventually("the daemon has told of it") {
        ["seen", "killed", "unseen"].allSatisfy {
          containerd.topics(of: $0, in: events).contains("/tasks/delete")
        }
      }
      // The shim's own, and the daemon's for a shim that is gone.
      #expect(statuses("seen", events, mark) == [7, 7])
      #expect(statuses("killed", events, mark) == [137])
      #expect(statuses("unseen", events, mark) == [255])
      #expect(containerd.log.contains("it is not known how container \(mark)-unseen ended"))
      #expect(containerd.log.contains("container \(mark)-killed ran when its shim died"))
      listener.signal(SIGTERM)
      _ = try await listener.wait()
    }
  }

  @Test(
    "a runtime that is at work ends with its shim, and creates nothing behind it",
    arguments: ContainerdRelease.allCases)
  func runtime(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      try containerd.runtime(
        """
        case " $* " in *" create "*) echo $$ > $dir/held; exec sleep 600;; esac
        exec /usr/sbin/runc "$@"
        """)
      async let created = containerd.run("c", "/bin/true")
      var pid: Int32?
      try await eventually("the runtime runs") {
        pid = Int32(HostFiles.text("\(containerd.directory)/held").dropLast())
        return pid != nil
      }
      let runtime = try #require(pid.flatMap { ProcessIdentity(pid: $0) })
      kill(try containerd.shim("c"), SIGKILL)
      #expect(await runtime.waitForEnd(within: .seconds(30)))
      #expect(try await created.code != 0)
    }
  }
}

extension Substring {
  /// Where another text is in it, without Foundation.
  fileprivate func range(of text: String) -> Range<Index>? {
    var rest = self
    while !rest.isEmpty {
      if rest.hasPrefix(text) {
        return rest.startIndex..<rest.index(rest.startIndex, offsetBy: text.count)
      }
      rest = rest.dropFirst()
    }
    return nil
  }
}
