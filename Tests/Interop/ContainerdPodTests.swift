import Glibc
import ProcessSupervision
import Testing

/// Pods by Kubernetes' interface of forky's containerd, with our shim: as a container with a pause image,
/// and as the shim's own sandbox.
///
/// containerd 2.1 panics when its `shim` sandboxer is to make a pod with the host's network, before the
/// shim is asked for anything: those are pods with a network of their own.
@Suite("Pods run through our shim", .containerdReleases, .timeLimit(.minutes(5)))
struct ContainerdPodTests {
  typealias Sandboxer = PodFixture.Sandboxer

  private static let namespaces = """
    for name in ipc uts net pid; do readlink /proc/self/ns/$name; done; hostname; \
    cat /proc/sys/kernel/shm_rmid_forced
    """

  @Test(
    "containers of a pod share its namespaces, have logs, execs and figures, and leave nothing",
    arguments: Sandboxer.allCases, [false, true])
  func life(_ sandboxer: Sandboxer, _ sharesPIDs: Bool) async throws {
    try await PodFixture.use { cri in
      let options = sharesPIDs ? "pid" : "-"
      let pod = try await cri.run("web", sandboxer, options)
      #expect(try await cri.state(pod) == "SANDBOX_READY")
      let a = try await cri.start("a", in: pod, "echo out; echo err >&2; sleep 1000")
      let b = try await cri.start("b", in: pod, "sleep 1000")
      var seen: [[Substring]] = []
      for container in [a, b] {
        let text = try await cri.line("exec", container, "/bin/sh", "-c", Self.namespaces)
        seen.append(text.split(separator: "\n"))
      }
      // ipc, uts and net, the host name and the kernel parameter; pid where it is shared.
      try #require(seen.allSatisfy { $0.count == 6 }, "\(seen)")
      #expect(seen[0][0...2] == seen[1][0...2] && seen[0][4...] == ["web", "1"], "\(seen)")
      #expect((seen[0][3] == seen[1][3]) == sharesPIDs, "\(seen)")
      for (index, name) in ["ipc", "uts", "net"].enumerated() {
        #expect(seen[0][index] != HostFiles.link("/proc/self/ns/\(name)"))
      }
      let init1 = try await cri.line("exec", a, "/bin/sh", "-c", "tr '\\0' ' ' </proc/1/cmdline")
      #expect(
        init1.contains(
          !sharesPIDs ? "sleep 1000" : sandboxer == .podsandbox ? "sleep 3600" : "hold-sandbox"),
        "\(init1)")

      let failing = try await cri("exec", b, "/bin/sh", "-c", "echo in; echo bad >&2; exit 7")
      #expect(failing.code == 7 && failing.out == "in\n" && failing.err == "bad\n", "\(failing)")
      try await eventually("the log is written") { cri.log("web", "a").count == 2 }
      #expect(cri.log("web", "a").sorted() == ["stderr F err", "stdout F out"])
      #expect(try await cri.line("stats", a).hasPrefix("cpu "))

      try await cri.line("stop", a)
      #expect(try await cri.container(a)?.hasPrefix("CONTAINER_EXITED") == true)
      try await cri.line("rm", a)
      try await cri.line("stopp", pod)
      #expect(try await cri.state(pod) == "SANDBOX_NOTREADY")
      #expect(try await cri.container(b) == "CONTAINER_EXITED 137")
      #expect(cri.holder(pod) == nil)
      // Both are told again by kubelets that missed the answer.
      try await cri.line("stopp", pod)
      try await cri.line("rmp", pod)
      try await cri.line("rmp", pod)
      #expect(try await cri.state(pod) == nil)
    }
  }

  @Test("a pod whose containers have the host's network runs")
  func hostNetwork() async throws {
    try await PodFixture.use { cri in
      let pod = try await cri.run("web", .podsandbox, "host")
      let a = try await cri.start("a", in: pod, "exec sleep 1000")
      #expect(
        try await cri.line("exec", a, "/bin/readlink", "/proc/self/ns/net")
          == HostFiles.link("/proc/self/ns/net"))
      try await cri.line("stopp", pod)
    }
  }

  @Test(
    "a daemon that is killed and started again finds its pod, which goes on being used",
    arguments: Sandboxer.allCases)
  func restart(_ sandboxer: Sandboxer) async throws {
    try await PodFixture.use { cri in
      let pod = try await cri.run("web", sandboxer, "pid")
      let a = try await cri.start("a", in: pod, "sleep 1000")
      let shim = try cri.shim(pod)
      try await cri.containerd.killDaemon()
      try await cri.containerd.startDaemon()
      try await eventually("the pod is there") { try await cri.state(pod) == "SANDBOX_READY" }
      #expect(try cri.shim(pod) == shim)
      #expect(try await cri.line("exec", a, "/bin/echo", "here") == "here")
      let b = try await cri.start("b", in: pod, "exit 3")
      try await eventually("it has ended") {
        try await cri.container(b) == "CONTAINER_EXITED 3"
      }
      try await cri.line("stopp", pod)
      #expect(try await cri.state(pod) == "SANDBOX_NOTREADY")
      try await cri.line("rmp", pod)
    }
  }

  @Test(
    "a pod whose shim is killed is not ready, and can be removed", arguments: Sandboxer.allCases)
  func death(_ sandboxer: Sandboxer) async throws {
    try await PodFixture.use { cri in
      let pod = try await cri.run("web", sandboxer)
      let a = try await cri.start("a", in: pod, "exec sleep 1000")
      kill(try cri.shim(pod), SIGKILL)
      try await eventually("the pod is not ready") {
        try await cri.state(pod) == "SANDBOX_NOTREADY"
      }
      try await eventually("its container has ended") {
        try await cri.container(a)?.hasPrefix("CONTAINER_EXITED") == true
      }
      #expect(cri.holder(pod) == nil)
      try await cri.line("rmp", pod)
    }
  }

  @Test("a pod whose holder is killed is not ready, and its containers can be removed")
  func holderDeath() async throws {
    try await PodFixture.use { cri in
      let pod = try await cri.run("web", .shim, "pid")
      let a = try await cri.start("a", in: pod, "sleep 1000")
      kill(try #require(cri.holder(pod)), SIGKILL)
      try await eventually("the pod is not ready") {
        try await cri.state(pod) == "SANDBOX_NOTREADY"
      }
      // The kernel ends all in a pid namespace with its first process.
      try await eventually("its container has ended") {
        try await cri.container(a) == "CONTAINER_EXITED 137"
      }
      try await cri.line("rmp", pod)
    }
  }

  /// Who of the two daemons is gone for a while.
  enum Away: CaseIterable, Sendable { case controller, both }

  @Test(
    "a pod of hawse serve outlives its controller, and is found again", arguments: Away.allCases)
  func controllerRestart(_ away: Away) async throws {
    try await PodFixture.use { cri in
      let pod = try await cri.run("web", .hawsepipe, "pid")
      let a = try await cri.start("a", in: pod, "sleep 1000")
      let shim = try cri.shim(pod)
      if away == .both { try await cri.containerd.killDaemon() }
      try await cri.server.kill()
      try await cri.server.start()
      if away == .both { try await cri.containerd.startDaemon() }
      try await eventually("the pod is there") { try await cri.state(pod) == "SANDBOX_READY" }
      #expect(try cri.shim(pod) == shim)
      #expect(try await cri.line("exec", a, "/bin/echo", "here") == "here")
      // Attached at the address that the controller tells again.
      let b = try await cri.start("b", in: pod, "exit 3")
      try await eventually("it has ended") {
        try await cri.container(b) == "CONTAINER_EXITED 3"
      }
      try await cri.line("stopp", pod)
      #expect(try await cri.state(pod) == "SANDBOX_NOTREADY")
      try await cri.line("rmp", pod)
      #expect(HostFiles.tree(cri.server.state).filter { $0.contains(pod) } == [])
    }
  }

  @Test("a pod that dies while its controller is away is not ready when that is back")
  func deathWhileAway() async throws {
    try await PodFixture.use { cri in
      let pod = try await cri.run("web", .hawsepipe)
      let a = try await cri.start("a", in: pod, "exec sleep 1000")
      try await cri.server.kill()
      kill(try cri.shim(pod), SIGKILL)
      try await cri.server.start()
      try await eventually("the pod is not ready") {
        try await cri.state(pod) == "SANDBOX_NOTREADY"
      }
      try await eventually("its container has ended") {
        try await cri.container(a)?.hasPrefix("CONTAINER_EXITED") == true
      }
      try await cri.line("rmp", pod)
    }
  }
}
