import ContainerdClient
import Hawsepipe
import TTRPC
import Testing
import TransportCore

/// Our shim in the guest through containerd: its sandboxer is `hawse serve`, which has the guest for a
/// remote sandbox, and its tasks are attached over ttrpc+hvsock by containerd's own dialler.
extension GuestTests {
  /// Who is gone for a while.
  private enum Away: String, CaseIterable { case containerd, controller, both }

  @Test("containerd runs a sandbox that is a guest, which outlives containerd and the controller")
  func containerd() async throws {
    let bench = try GuestBench.booted()
    try await bench.startSandbox()
    let address = #""address":"\#(bench.guest.shim)","version":3"#
    #expect(address.contains("ttrpc+hvsock:///"))
    // A Start that is told again is answered with the same.
    #expect(try await bench.controllersSandbox("Start").contains(address))
    try await expectReady(bench, address)
    #expect(try await bench.controllersSandbox("Platform").contains(#""os":"linux""#))

    try await bench.start("web")
    #expect(try await bench.task("Get", "web").contains(#""status":"RUNNING""#))
    #expect(try await bench.exec("e", in: "web", "exit 5").contains(#""exitStatus":5"#))
    try await bench.start("quick")
    #expect(try await bench.task("Wait", "quick").contains(#""exitStatus":7"#))
    try await bench.remove("quick")

    for (away, id) in zip(Away.allCases, ["first", "second", "third"]) {
      try await restart(away, bench)
      try await expectReady(bench, address)
      #expect(
        try await bench.task("Get", "web").contains(#""status":"RUNNING""#), "\(away) was away")
      #expect(try await bench.exec("e", in: "web", "exit 6").contains(#""exitStatus":6"#))
      try await bench.start(id)
      #expect(try await bench.task("Wait", id).contains(#""exitStatus":3"#))
      try await bench.remove(id)
    }
    try await endedWhileAway(bench)
    try await end(bench, address)
  }

  private func expectReady(_ bench: GuestBench, _ address: String) async throws {
    // containerd's own connection to a controller that was away takes a moment to come back.
    try await eventually("containerd says that the sandbox is ready") {
      try await bench.sandboxStatus().contains(#""state":"SANDBOX_READY""#)
    }
    let status = try await bench.controllersSandbox("Status")
    #expect(status.contains(address) && status.contains("SANDBOX_READY"), "\(status)")
  }

  private func restart(_ away: Away, _ bench: GuestBench) async throws {
    if away != .controller { try await bench.containerd.killDaemon() }
    if away != .containerd {
      try await bench.controller.kill()
      try await bench.controller.start()
    }
    if away != .controller { try await bench.containerd.startDaemon() }
  }

  /// A task that ends while containerd is away is none of its any more, which it says to a shim as if that
  /// had no other.
  private func endedWhileAway(_ bench: GuestBench) async throws {
    try await bench.start("gone")
    try await bench.containerd.killDaemon()
    let client = try await TTRPCClient.connect(to: bench.guest.shim, using: .standard)
    do {
      let tasks = try TaskClient(caller: client, version: 3, namespace: GuestBench.namespace)
      try await tasks.kill("gone", signal: 9, timeout: .seconds(30))
      #expect(try await tasks.wait("gone", timeout: .seconds(30)).status == 137)
    } catch {
      await client.close()
      throw error
    }
    await client.close()
    try await bench.containerd.startDaemon()
    let answer = try await bench.answer(
      "unix:\(bench.containerd.socket)", "tasks.v1.Tasks/Get", #"container_id: "gone""#)
    #expect(answer.hasPrefix("NotFound "))
    try await bench.containerd("containers.v1.Containers/Delete", #"id: "gone""#)
    #expect(try await bench.task("Get", "web").contains(#""status":"RUNNING""#))
  }

  private func end(_ bench: GuestBench, _ address: String) async throws {
    // Each is told of by a call that began before it, the sandbox's through a restart of the controller.
    async let sandboxEnd = bench.sandbox("Wait", seconds: 100)
    async let taskEnd = bench.task("Wait", "web")
    try await restart(.controller, bench)
    try await expectReady(bench, address)
    try await bench.task("Kill", "web", "signal: 9")
    #expect(try await taskEnd.contains(#""exitStatus":137"#))
    try await bench.remove("web")
    try await bench.sandbox("Stop", "timeout_secs: 10")
    #expect(try await sandboxEnd.contains(#""exitedAt""#))
    #expect(try await bench.sandbox("Status").contains("SANDBOX_NOTREADY"))
    try await bench.sandbox("Shutdown")
    try await bench.containerd(
      "sandbox.v1.Store/Delete", "sandbox_id: \"\(PodGuest.sandbox)\"")
    try await bench.guest.machine.said("our shim is gone")
    let directories = ["\(bench.containerd.directory)/state", bench.controller.state]
    let left = directories.flatMap { HostFiles.tree($0) }.filter { path in
      let name = path.split(separator: "/").last.map(String.init) ?? ""
      return name == PodGuest.sandbox || GuestBench.commands[name] != nil
    }
    #expect(left == [])
  }
}
