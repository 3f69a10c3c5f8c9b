import ContainerdAPI
import ContainerdClient
import Glibc
import RPCCore
import ShimTestKit
import Testing

@testable import SandboxControl

@Suite("a controller that comes back")
struct RestartTests {
  /// The next life on the same directory and the same sandboxes; the last one just stops working.
  private func restarted(
    _ fixture: ControlFixture, limits: ControlLimits = ControlFixture.quick
  ) async throws -> (ControlFixture, SandboxControlService.Restoration) {
    await fixture.control.close()
    let next = try ControlFixture(after: fixture, limits: limits)
    return (next, try await next.control.restore())
  }

  @Test("sandboxes are found again with all that was said of them, and waited for")
  func found() async throws {
    let before = try ControlFixture()
    for id in ["created", "running", "ended"] { try await before.create(id) }
    let started = try await before.start("running")
    try await before.start("ended")
    try await before.stop("ended")
    let (after, restoration) = try await restarted(before)
    #expect(restoration.found == 2)
    #expect(restoration.ended == 1)
    let status = try await after.status("running")
    #expect(status.state == "SANDBOX_READY")
    #expect(status.address == started.address)
    #expect(status.version == started.version)
    #expect(status.createdAt == started.createdAt)
    #expect(try await after.start("running") == started)
    #expect(try await after.wait("ended").exitStatus == 137)
    async let waited = after.wait("running")
    after.world.end(try ControlFixture.name("running"), status: 4)
    #expect(try await waited.exitStatus == 4)
    try await after.start("created")
    for id in ["created", "running", "ended"] { try await after.shutdown(id) }
    #expect(after.world.names.isEmpty)
  }

  @Test("a wait that is under way is told to come back, and what ended meanwhile is found out")
  func waitsAcross() async throws {
    let before = try ControlFixture()
    try await before.create("pod")
    try await before.start("pod")
    let wait = Task { try await before.wait("pod") }
    try await ControlFixture.eventually("wait") { before.world.calls.contains("wait pod") }
    await before.control.close()
    #expect(await code { _ = try await wait.value } == .unavailable)
    before.world.end(try ControlFixture.name("pod"), status: 4)
    let (after, restoration) = try await restarted(before)
    #expect(restoration.ended == 1)
    #expect(try await after.wait("pod").exitStatus == 255)
    try await after.shutdown("pod")
  }

  @Test("a create that was repeated after the restart is the one that was made")
  func createAgain() async throws {
    let before = try ControlFixture()
    try await before.create("pod")
    let (after, _) = try await restarted(before)
    try await after.create("pod")
    #expect(await code { try await after.create("pod") } == .alreadyExists)
    #expect(after.world.calls.count { $0 == "create pod" } == 1)
    var other = ControlFixture.request("pod")
    other.netnsPath = "/run/netns/b"
    let (last, _) = try await restarted(after)
    #expect(
      await code { _ = try await last.client.create(other, options: last.options) }
        == .alreadyExists)
  }

  @Test("what was not finished is removed", arguments: ["creating", "starting"])
  func unfinished(_ state: String) async throws {
    let before = try ControlFixture()
    try await before.create("pod")
    let path = before.recordPath("pod")
    let record = try #require(try before.scratch.read(path))
    try before.scratch.write(
      path, record.replacing("\"created\"", with: "\"\(state)\""), mode: 0o600)
    let (after, restoration) = try await restarted(before)
    #expect(restoration.unfinished == 1)
    #expect(after.world.names.isEmpty)
    #expect(try after.scratch.read(path) == nil)
    #expect(await code { _ = try await after.status("pod") } == .notFound)
  }

  @Test("a mute sandbox delays nobody, is kept, and is found when it answers")
  func mute() async throws {
    let before = try ControlFixture()
    try await before.create("pod")
    let started = try await before.start("pod")
    before.world.change { _ = $0.mute.insert("restore") }
    let (after, restoration) = try await restarted(before)
    #expect(restoration.unreachable == 1)
    let status = try await after.status("pod")
    #expect(status.state == "SANDBOX_UNKNOWN")
    #expect(status.address == started.address)
    after.world.change { $0.mute = [] }
    try await ControlFixture.eventually("the sandbox answers") {
      try await after.status("pod").state == "SANDBOX_READY"
    }
    try await after.stop("pod")
    #expect(try await after.wait("pod").exitStatus == 137)
    try await after.shutdown("pod")
  }

  @Test("a lost connection is no end while the sandbox is there")
  func lostConnection() async throws {
    let fixture = try ControlFixture()
    fixture.world.change {
      $0.failures["wait"] = SandboxControlError(code: .unreachable, message: "lost")
    }
    try await fixture.create("pod")
    try await fixture.start("pod")
    try await ControlFixture.eventually("another wait") {
      fixture.world.calls.count { $0 == "wait pod" } > 2
    }
    #expect(try await fixture.status("pod").state == "SANDBOX_READY")
    fixture.world.change { $0.failures = [:] }
    fixture.world.end(try ControlFixture.name("pod"), status: 6)
    // Told by the sandbox, or found out because it is not there any more.
    #expect([6, 255].contains(try await fixture.wait("pod").exitStatus))
    try await fixture.shutdown("pod")
  }

  @Test(
    "damaged records are told, kept, and answered with their fault",
    arguments: [
      ("", "not JSON"), ("{}", "\"version\" is missing"), ("{\"version\":2}", "version 2"),
      ("[1]", "\"version\" is missing"),
      ("{\"version\":1,\"namespace\":\"k8s.io\",\"id\":\"x\"}", "another sandbox"),
    ])
  func damaged(_ text: String, _ fault: String) async throws {
    let before = try ControlFixture()
    try await before.create("good")
    try before.scratch.write(before.recordPath("pod"), text, mode: 0o600)
    let (after, restoration) = try await restarted(before)
    #expect(restoration.found == 1)
    #expect(restoration.damaged.count == 1)
    #expect(restoration.damaged.values.first?.contains(fault) == true)
    #expect(await code { _ = try await after.status("pod") } == .dataLoss)
    #expect(await code { try await after.create("pod") } == .dataLoss)
    #expect(try after.scratch.read(after.recordPath("pod")) == text)
  }

  @Test("every byte of a record that is missing is noticed")
  func truncated() async throws {
    let fixture = try ControlFixture()
    try await fixture.create("pod")
    try await fixture.start("pod")
    let text = try #require(try fixture.scratch.read(fixture.recordPath("pod")))
    let name = try ControlFixture.name("pod")
    let whole = try StoredSandbox(decoding: Array(text.utf8), named: name)
    #expect(whole.machine.state == .running)
    for length in stride(from: 0, to: text.utf8.count - 1, by: 7) {
      #expect(throws: StoredSandbox.Fault.self) {
        try StoredSandbox(decoding: Array(text.utf8.prefix(length)), named: name)
      }
    }
  }

  @Test("a link in place of a record is not followed")
  func link() async throws {
    let before = try ControlFixture()
    try await before.create("good")
    try before.scratch.write("elsewhere", "{}")
    #expect(
      symlink(
        "\(before.scratch.path)/elsewhere",
        "\(before.scratch.path)/\(before.recordPath("pod"))") == 0)
    let (_, restoration) = try await restarted(before)
    #expect(restoration.damaged.count == 1)
    #expect(restoration.damaged.values.first?.contains("symbolic link") == true)
  }

  @Test("records are the owner's alone")
  func modes() async throws {
    let fixture = try ControlFixture()
    try await fixture.create("pod")
    for (path, mode) in [
      ("sandboxes", 0o700), ("sandboxes/k8s.io", 0o700), (fixture.recordPath("pod"), 0o600),
    ] as [(String, UInt32)] {
      var status = stat()
      #expect(lstat("\(fixture.scratch.path)/\(path)", &status) == 0)
      #expect(status.st_mode & 0o7777 == mode)
    }
  }

  @Test("the sandboxes of a driver that is not configured any more are kept, and said so")
  func driverGone() async throws {
    let before = try ControlFixture()
    try await before.create("pod")
    try await before.start("pod")
    await before.control.close()
    let control = SandboxControlService(
      state: before.scratch.path, selection: DriverSelection([]), limits: ControlFixture.quick)
    #expect(try await control.restore().unreachable == 1)
    let name = try ControlFixture.name("pod")
    #expect(try await control.status(name).state == "SANDBOX_UNKNOWN")
    await #expect(throws: SandboxControlError.self) { try await control.shutdown(name) }
    await control.close()
    #expect(try before.scratch.read(before.recordPath("pod")) != nil)
  }
}
