import ContainerdAPI
import ContainerdClient
import Glibc
import RPCCore
import ShimTestKit
import SwiftProtobuf
import Testing

@testable import SandboxControl

@Suite("updates of a sandbox's record")
struct UpdateTests {
  private static func record(
    _ change: (inout Containerd_Types_Sandbox) -> Void = { _ in }
  ) -> Containerd_Types_Sandbox {
    .with { record in
      record.sandboxID = "pod"
      record.runtime.name = "io.r.v1"
      record.labels = ["a": "1", "b": "2"]
      record.extensions = ["x": .with { $0.typeURL = "t" }]
      record.spec = .with { $0.typeURL = "s" }
      change(&record)
    }
  }

  private static func update(
    _ fixture: ControlFixture, _ record: Containerd_Types_Sandbox, _ fields: String...
  ) async throws {
    _ = try await fixture.client.update(
      .with {
        $0.sandboxID = "pod"
        $0.sandbox = record
        $0.fields = fields
      }, options: fixture.options)
  }

  private static func stored(_ fixture: ControlFixture) throws -> Containerd_Types_Sandbox {
    let store = RecordStore(state: fixture.scratch.path)
    return try #require(try store.load().records.first).order.request.sandbox
  }

  @Test("it is on the disk, known after a restart, and the sandbox was told of it")
  func survives() async throws {
    let before = try ControlFixture()
    try await before.create("pod")
    try await before.start("pod")
    try await Self.update(before, Self.record())
    let stored = try Self.stored(before)
    #expect(stored.labels == ["a": "1", "b": "2"])
    #expect(stored.extensions["x"]?.typeURL == "t" && stored.spec.typeURL == "s")
    #expect(stored.updatedAt.seconds > 1_600_000_000)
    let told = before.world.change { $0.updates }
    #expect(told.count == 1 && told.first?.fields == [])
    #expect(told.first?.record.labels == ["a": "1", "b": "2"])
    await before.control.close()

    let after = try ControlFixture(after: before)
    _ = try await after.control.restore()
    let status = try await after.status("pod", verbose: true)
    #expect(status.info["hawsepipe.label.a"] == "1")
    #expect(status.address == "ttrpc+unix:///run/pod.sock")
    try await Self.update(after, Self.record { $0.labels = ["b": "3"] }, "labels.a", "labels.b")
    #expect(try Self.stored(after).labels == ["b": "3"])
    #expect(try Self.stored(after).spec.typeURL == "s")
    try await after.shutdown("pod")
  }

  @Test(
    "only the fields that are named change",
    arguments: [
      (["labels"], ["labels"]), (["labels.a"], ["labels"]), (["extensions"], ["extensions"]),
      (["extensions.x"], ["extensions"]), (["spec"], ["spec"]), (["runtime"], ["runtime"]),
      ([], ["labels", "extensions", "spec"]), (["labels", "spec"], ["labels", "spec"]),
    ])
  func fields(_ fields: [String], _ changed: [String]) throws {
    let old = Containerd_Types_Sandbox.with {
      $0.sandboxID = "pod"
      $0.runtime.name = fields == [] ? "io.r.v1" : "io.r.v0"
      $0.sandboxer = "hawsepipe"
      $0.createdAt = .init(seconds: 5)
    }
    let new = try RecordUpdate(record: Self.record(), fields: fields)
      .applied(to: old, at: .init(seconds: 9))
    #expect((new.labels != old.labels) == changed.contains("labels"))
    #expect((new.extensions != old.extensions) == changed.contains("extensions"))
    #expect((new.spec != old.spec) == changed.contains("spec"))
    #expect((new.runtime != old.runtime) == changed.contains("runtime"))
    #expect(new.sandboxer == "hawsepipe" && new.createdAt.seconds == 5)
    #expect(new.updatedAt.seconds == 9)
  }

  @Test("what cannot change is refused, and nothing has changed", arguments: 0..<6)
  func refused(_ number: Int) async throws {
    let fixture = try ControlFixture()
    try await fixture.create("pod")
    let before = try Self.stored(fixture)
    let long = String(repeating: "l", count: 5000)
    let bad = await code {
      switch number {
      case 0: try await Self.update(fixture, Self.record { $0.runtime.name = "io.other.v1" })
      case 1: try await Self.update(fixture, Self.record(), "created_at")
      case 2: try await Self.update(fixture, Self.record(), "labels", "sandboxer")
      case 3: try await Self.update(fixture, Self.record { $0.sandboxID = "other" }, "labels")
      case 4: try await Self.update(fixture, Self.record { $0.labels["a"] = long }, "labels")
      default:
        _ = try await fixture.client.update(
          .with { $0.sandboxID = "pod" }, options: fixture.options)
      }
    }
    #expect(bad == .invalidArgument)
    #expect(try Self.stored(fixture) == before)
    #expect(fixture.world.change { $0.updates.isEmpty })
  }

  @Test(
    "a sandbox that refuses keeps its record as it was; one that has no such call does not mind")
  func peer() async throws {
    let fixture = try ControlFixture()
    try await fixture.create("pod")
    try await fixture.start("pod")
    let before = try Self.stored(fixture)
    fixture.world.change {
      $0.failures["update"] = SandboxControlError(
        code: .callFailed, message: "no", cause: RPCError(code: .failedPrecondition, message: "no"))
    }
    #expect(
      await code { try await Self.update(fixture, Self.record(), "labels") } == .failedPrecondition)
    #expect(try Self.stored(fixture) == before)
    fixture.world.change {
      $0.failures["update"] = SandboxControlError(code: .unsupported, message: "no such call")
    }
    try await Self.update(fixture, Self.record(), "labels")
    #expect(try Self.stored(fixture).labels == ["a": "1", "b": "2"])
    try await fixture.shutdown("pod")
  }

  @Test("a record that cannot be written is not changed, and that is said")
  func disk() async throws {
    let fixture = try ControlFixture()
    try await fixture.create("pod")
    // A directory is where the file goes.
    let path = "\(fixture.scratch.path)/\(fixture.recordPath("pod"))"
    try #require(rename(path, path + ".away") == 0)
    try #require(mkdir(path, 0o700) == 0)
    #expect(await code { try await Self.update(fixture, Self.record(), "labels") } == .internal)
    #expect(try await fixture.status("pod", verbose: true).info["hawsepipe.label.a"] == nil)
    try #require(rmdir(path) == 0)
    try await Self.update(fixture, Self.record(), "labels")
    #expect(try await fixture.status("pod", verbose: true).info["hawsepipe.label.a"] == "1")
  }

  @Test("one that has ended is changed without it, one that is not there is not found")
  func ended() async throws {
    let fixture = try ControlFixture()
    #expect(await code { try await Self.update(fixture, Self.record()) } == .notFound)
    try await fixture.create("pod")
    try await fixture.start("pod")
    try await fixture.stop("pod")
    try await Self.update(fixture, Self.record(), "labels")
    #expect(try Self.stored(fixture).labels == ["a": "1", "b": "2"])
    #expect(fixture.world.change { $0.updates.isEmpty })
  }
}
