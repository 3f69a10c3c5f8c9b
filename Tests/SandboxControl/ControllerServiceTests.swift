import ContainerdAPI
import ContainerdClient
import RPCCore
import ShimTestKit
import SwiftProtobuf
import Testing

@testable import SandboxControl

@Suite("the controller's service")
struct ControllerServiceTests {
  @Test("a sandbox is created, started, asked for, stopped, waited for and shut down")
  func life() async throws {
    let fixture = try ControlFixture()
    try await fixture.create("pod")
    #expect(try await fixture.status("pod").state == "SANDBOX_NOTREADY")
    let started = try await fixture.start("pod")
    #expect(started.sandboxID == "pod")
    #expect(started.pid == 42)
    #expect(started.address == "ttrpc+unix:///run/pod.sock")
    #expect(started.version == 3)
    #expect(started.labels == ["l": "v"])
    #expect(started.spec.typeURL == "t")
    #expect(started.createdAt.seconds == 7)

    let status = try await fixture.status("pod", verbose: true)
    #expect(status.state == "SANDBOX_READY")
    #expect(status.address == started.address)
    #expect(status.version == 3)
    #expect(status.pid == 42)
    #expect(status.info["said"] == "by the peer")

    let platform = try await fixture.client.platform(
      .with { $0.sandboxID = "pod" }, options: fixture.options)
    #expect(platform.platform.architecture == "riscv64")
    let metrics = try await fixture.client.metrics(
      .with { $0.sandboxID = "pod" }, options: fixture.options)
    #expect(metrics.metrics.id == "pod")

    async let waited = fixture.wait("pod")
    try await fixture.stop("pod")
    let exit = try await waited
    #expect(exit.exitStatus == 137)
    #expect(exit.exitedAt.seconds == 9)
    #expect(try await fixture.status("pod").state == "SANDBOX_NOTREADY")
    #expect(try await fixture.wait("pod").exitStatus == 137)

    try await fixture.shutdown("pod")
    #expect(await code { _ = try await fixture.status("pod") } == .notFound)
    #expect(try fixture.scratch.read(fixture.recordPath("pod")) == nil)
    #expect(fixture.world.names.isEmpty)
  }

  @Test("calls for a sandbox that is not there: a stop is fine, all others find nothing")
  func unknown() async throws {
    let fixture = try ControlFixture()
    try await fixture.stop("pod")
    #expect(await code { try await fixture.start("pod") } == .notFound)
    #expect(await code { _ = try await fixture.wait("pod") } == .notFound)
    #expect(await code { _ = try await fixture.status("pod") } == .notFound)
    #expect(await code { try await fixture.shutdown("pod") } == .notFound)
  }

  @Test("a second create is refused, and a second start gives the same answer")
  func twice() async throws {
    let fixture = try ControlFixture()
    try await fixture.create("pod")
    #expect(await code { try await fixture.create("pod") } == .alreadyExists)
    let first = try await fixture.start("pod")
    #expect(try await fixture.start("pod") == first)
    #expect(fixture.world.calls.count { $0 == "start pod" } == 1)
    #expect(await code { try await fixture.create("pod") } == .alreadyExists)
    try await fixture.stop("pod")
    try await fixture.stop("pod")
    #expect(await code { try await fixture.start("pod") } == .failedPrecondition)
    #expect(await code { try await fixture.create("pod") } == .alreadyExists)
    try await fixture.shutdown("pod")
    try await fixture.create("pod")
    try await fixture.shutdown("pod")
  }

  @Test("of many creates at once one wins")
  func crowd() async throws {
    let fixture = try ControlFixture()
    let codes = await withTaskGroup(of: RPCCode?.self) { group in
      for _ in 0..<20 { group.addTask { await code { try await fixture.create("pod") } } }
      var codes: [RPCCode?] = []
      for await code in group { codes.append(code) }
      return codes
    }
    #expect(codes.count { $0 == nil } == 1)
    #expect(codes.count { $0 == .alreadyExists } == 19)
    #expect(fixture.world.calls == ["create pod"])
  }

  @Test("a mute sandbox holds up no other one")
  func parallel() async throws {
    let fixture = try ControlFixture()
    try await fixture.create("mute")
    fixture.world.change { _ = $0.mute.insert("start") }
    let stuck = Task { try await fixture.start("mute") }
    try await ControlFixture.eventually("start") { fixture.world.calls.contains("start mute") }
    fixture.world.change { $0.mute = [] }
    try await fixture.create("pod")
    try await fixture.start("pod")
    try await fixture.shutdown("pod")
    stuck.cancel()
    #expect(fixture.world.names == [try ControlFixture.name("mute")])
  }

  @Test(
    "a start without an address or a version is an error that names the driver, and leaves nothing",
    arguments: [("", 3), ("ttrpc+unix:///a", 0), ("unix:///a", 3)] as [(String, UInt32)])
  func badEndpoint(_ address: String, _ version: UInt32) async throws {
    let fixture = try ControlFixture()
    fixture.world.change {
      $0.instance.address = address
      $0.instance.version = version
    }
    try await fixture.create("pod")
    do {
      try await fixture.start("pod")
      Issue.record("it starts")
    } catch let error as RPCError {
      #expect(error.code == .internal)
      #expect(error.message.contains("\"fake\""))
    }
    #expect(fixture.world.names.isEmpty)
    #expect(try fixture.scratch.read(fixture.recordPath("pod")) == nil)
    try await fixture.create("pod")
  }

  @Test("a start that fails leaves nothing, and says what the peer said")
  func startFails() async throws {
    let fixture = try ControlFixture()
    try await fixture.create("pod")
    fixture.world.change {
      $0.failures["start"] = SandboxControlError(
        code: .callFailed, message: "no start",
        cause: RPCError(code: .resourceExhausted, message: "no memory"))
    }
    #expect(await code { try await fixture.start("pod") } == .resourceExhausted)
    #expect(fixture.world.names.isEmpty)
    #expect(await code { _ = try await fixture.status("pod") } == .notFound)
  }

  @Test("a create that is mute ends at its limit, and what it made is removed")
  func createIsMute() async throws {
    var limits = ControlFixture.quick
    limits.create = .milliseconds(50)
    let fixture = try ControlFixture(limits: limits)
    fixture.world.change { _ = $0.mute.insert("create") }
    #expect(await code { try await fixture.create("pod") } == .deadlineExceeded)
    #expect(fixture.world.calls.contains("remove pod"))
    #expect(await code { _ = try await fixture.status("pod") } == .notFound)
  }

  @Test("what cannot be removed after a failure can be shut down later")
  func leftOver() async throws {
    let fixture = try ControlFixture()
    let refusal = SandboxControlError(code: .storage, message: "no")
    try await fixture.create("pod")
    fixture.world.change {
      for call in ["start", "shutdown", "remove"] { $0.failures[call] = refusal }
    }
    #expect(await code { try await fixture.start("pod") } == .internal)
    #expect(try await fixture.status("pod").state == "SANDBOX_NOTREADY")
    #expect(await code { try await fixture.shutdown("pod") } == .internal)
    fixture.world.change { $0.failures = [:] }
    try await fixture.shutdown("pod")
    #expect(fixture.world.names.isEmpty)
  }

  @Test("a sandbox that ends by itself is told to all who wait, once it is on record")
  func endsByItself() async throws {
    let fixture = try ControlFixture()
    try await fixture.create("pod")
    try await fixture.start("pod")
    let waits = (0..<10).map { _ in Task { try await fixture.wait("pod").exitStatus } }
    fixture.world.end(try ControlFixture.name("pod"), status: 3)
    for wait in waits { #expect(try await wait.value == 3) }
    let record = try #require(try fixture.scratch.read(fixture.recordPath("pod")))
    #expect(record.contains("\"stopped\""))
    try await fixture.shutdown("pod")
  }

  @Test("a create whose caller has gone is undone")
  func callerGone() async throws {
    let fixture = try ControlFixture()
    fixture.world.change { _ = $0.mute.insert("create") }
    let call = Task { try await fixture.create("pod") }
    try await ControlFixture.eventually("create") { fixture.world.calls.contains("create pod") }
    call.cancel()
    fixture.world.change { $0.mute = [] }
    // What was begun is done to its end before it is undone.
    #expect(await code { try await call.value } == .cancelled)
    #expect(fixture.world.names.isEmpty)
    #expect(await code { _ = try await fixture.status("pod") } == .notFound)
  }

  @Test(
    "who calls without a namespace, or with one that is none, learns it",
    arguments: [
      (nil, "pod", RPCCode.failedPrecondition), ("", "pod", .failedPrecondition),
      ("../x", "pod", .invalidArgument), ("k8s.io", "../x", .invalidArgument),
      ("k8s.io", "", .invalidArgument), ("other", "pod", .invalidArgument),
    ] as [(String?, String, RPCCode)])
  func atTheDoor(_ namespace: String?, _ id: String, _ expected: RPCCode) async throws {
    let fixture = try ControlFixture(namespaces: ["k8s.io"])
    var options = RPCCallOptions()
    options.metadata["containerd-namespace"] = namespace
    #expect(
      await code {
        _ = try await fixture.client.create(ControlFixture.request(id), options: options)
      } == expected)
    #expect(fixture.world.calls.isEmpty)
  }

  @Test("a runtime that no driver has is refused")
  func noDriver() async throws {
    let fixture = try ControlFixture()
    let request = ControlFixture.request("pod", runtime: "io.other.v1")
    #expect(
      await code { _ = try await fixture.client.create(request, options: fixture.options) }
        == .failedPrecondition)
  }

  @Test("requests that cannot be meant are refused")
  func badRequests() async throws {
    let fixture = try ControlFixture()
    let changes:
      [@Sendable (inout Containerd_Services_Sandbox_V1_ControllerCreateRequest) -> Void] =
        [
          { $0.netnsPath = "relative" }, { $0.netnsPath = "/a/../b" },
          { $0.sandbox.sandboxID = "other" }, { $0.sandbox.runtime.name = "a\0b" },
          { $0.rootfs = .init(repeating: .init(), count: 1025) },
        ]
    for change in changes {
      var request = ControlFixture.request("pod")
      change(&request)
      #expect(
        await code { _ = try await fixture.client.create(request, options: fixture.options) }
          == .invalidArgument)
    }
  }
}
