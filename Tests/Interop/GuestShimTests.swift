import ContainerdAPI
import ContainerdClient
import FoundationEssentials
import Hawsepipe
import RPCCore
import ShimManagement
import SwiftProtobuf
import TTRPC
import Testing
import TransportCore

/// Our shim in a guest: a sandbox that is a virtual machine, with cgroup v2.
@Suite("Our shim in a virtual machine", .serialized, .timeLimit(.minutes(15)))
struct GuestShimTests {
  @Test("tasks are attached across the guest's wall, run, are measured, and die")
  func tasks() async throws {
    try await HawseFixture.use { hawse in
      func container(_ id: String, _ command: String, _ limit: Int? = nil) -> PodGuest.Container {
        PodGuest.Container(
          id: id,
          bundle: StateDirectory(state: hawse.state, root: hawse.root)
            .bundlePath(namespace: hawse.namespace, id: id),
          command: command, memoryLimit: limit)
      }
      let containers = [
        container("web", "sleep 1000"), container("quick", "exit 7"),
        container("greedy", "exec tail /dev/zero", 32 << 20),
      ]
      try await PodGuest.use(containers) { guest in
        try await attach(hawse, guest)
        try await exitStatus(hawse, guest)
        try await measure(guest)
        try await outOfMemory(containers[2], guest)
        try await end(hawse, guest)
      }
    }
  }

  /// Attaches a task of which this host has nothing but a line to its shim.
  private func run(
    _ id: String, _ hawse: HawseFixture, _ guest: PodGuest
  ) async throws -> HawseResult {
    try await hawse.hawse(
      "task", "run", "--sandbox", PodGuest.sandbox, "--address", "\(guest.shim)", "--api-version",
      "3", "--rootfs", hawse.rootfs, "--detach", "--id", id, "--", "ignored")
  }

  private func attach(_ hawse: HawseFixture, _ guest: PodGuest) async throws {
    let result = try await run("web", hawse, guest)
    #expect(result.code == 0 && result.out == "web\n", "\(result)")
    let listed = try await hawse.hawse("task", "ls", "--json")
    #expect(
      listed.out.contains("\"running\"") && listed.out.contains("hvsock"), "\(listed)")
  }

  private func exitStatus(_ hawse: HawseFixture, _ guest: PodGuest) async throws {
    let result = try await run("quick", hawse, guest)
    #expect(result.code == 0, "\(result)")
    let ended = try await hawse.hawse("task", "wait", "quick")
    #expect(ended.code == 7 || ended.out.contains("7"), "\(ended)")
    let removed = try await hawse.hawse("task", "rm", "quick")
    #expect(removed.code == 0, "\(removed)")
  }

  private func withTasks(
    _ guest: PodGuest, _ body: (TaskClient<TTRPCClient>) async throws -> Void
  ) async throws {
    let client = try await TTRPCClient.connect(to: guest.shim, using: .standard)
    do {
      try await body(TaskClient(caller: client, version: 3, namespace: "default"))
    } catch {
      await client.close()
      throw error
    }
    await client.close()
  }

  private func measure(_ guest: PodGuest) async throws {
    try await withTasks(guest) { tasks in
      let figures = try await tasks.stats("web", timeout: .seconds(10))
      #expect(figures.typeURL == "io.containerd.cgroups.v2.Metrics")
      let metrics = try Io_Containerd_Cgroups_V2_Metrics(serializedBytes: figures.value)
      #expect(metrics.pids.current >= 1 && metrics.memory.usage > 0)
      #expect(metrics.cpu.usageUsec > 0)
    }
  }

  /// The kernel's out-of-memory killer is told of before the end that it makes.
  private func outOfMemory(
    _ container: PodGuest.Container, _ guest: PodGuest
  ) async throws {
    try await withTasks(guest) { tasks in
      _ = try await tasks.create(
        TaskCreation(id: container.id, bundle: container.bundle), timeout: .seconds(60))
      _ = try await tasks.start(container.id, timeout: .seconds(60))
      let exit = try await tasks.wait(container.id, timeout: .seconds(60))
      #expect(exit.status == 137)
      _ = try await tasks.delete(container.id, timeout: .seconds(60))
    }
    try await guest.machine.said("event /tasks/delete greedy")
    let told = guest.machine.lines.filter { $0.hasSuffix(" greedy") }
    #expect(
      told == ["create", "start", "oom", "exit", "delete"].map { "event /tasks/\($0) greedy" })
  }

  private func end(_ hawse: HawseFixture, _ guest: PodGuest) async throws {
    let killed = try await hawse.hawse("task", "kill", "--signal", "KILL", "web")
    #expect(killed.code == 0, "\(killed)")
    let ended = try await hawse.hawse("task", "wait", "web")
    #expect(ended.code == 137 || ended.out.contains("137"), "\(ended)")
    let removed = try await hawse.hawse("task", "rm", "web")
    #expect(removed.code == 0, "\(removed)")
    // A shim that serves a sandbox does not end with its last task, but when it is told to.
    try await withTasks(guest) { tasks in
      try await tasks.shutdown(PodGuest.sandbox, now: false, timeout: .seconds(10))
    }
    #expect(try await guest.machine.end() == 0)
  }
}
