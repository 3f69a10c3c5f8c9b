import ContainerdAPI
import ContainerdClient
import Synchronization
import SwiftProtobuf

@testable import SandboxControl

/// What outlives a controller: the sandboxes themselves. A driver of each life works on the same one.
final class FakeWorld: Sendable {
  struct Held {
    var isStarted = false
    let end = EndPromise()
    var exit: SandboxExit?
  }

  struct State {
    var sandboxes: [SandboxName: Held] = [:]
    var calls: [String] = []
    var updates: [(record: SandboxRecord, fields: [String])] = []
    /// What the next calls of a name ("create", "start", …) answer with.
    var failures: [String: SandboxControlError] = [:]
    /// Calls of these names never return.
    var mute: Set<String> = []
    var instance = SandboxInstance(
      pid: 42, createdAt: Google_Protobuf_Timestamp(seconds: 7, nanos: 8),
      address: "ttrpc+unix:///run/pod.sock", version: 3, labels: ["l": "v"],
      spec: .with { $0.typeURL = "t" })
  }

  let state = Mutex(State())

  func change<Value: Sendable>(_ body: (inout State) -> sending Value) -> Value {
    state.withLock { body(&$0) }
  }

  var calls: [String] { state.withLock { $0.calls } }
  var names: [SandboxName] { state.withLock { $0.sandboxes.keys.sorted() } }

  func enter(_ call: String, _ name: SandboxName) async throws(SandboxControlError) {
    let (failure, isMute) = state.withLock { state in
      state.calls.append("\(call) \(name.id)")
      return (state.failures[call], state.mute.contains(call))
    }
    // Ends with its task, or when it is mute no more.
    while isMute, !Task.isCancelled, change({ $0.mute.contains(call) }) {
      try? await Task.sleep(for: .milliseconds(5))
    }
    if let failure { throw failure }
  }

  /// The sandbox ends by itself.
  func end(_ name: SandboxName, status: UInt32) {
    let exit = SandboxExit(status: status, exitedAt: .init(seconds: 9))
    let held = state.withLock { state in
      state.sandboxes[name]?.exit = exit
      return state.sandboxes[name]
    }
    held?.end.resolve(.success(exit))
  }
}

struct FakeDriver: SandboxDriver {
  var name = "fake"
  let world: FakeWorld

  func create(_ order: SandboxOrder) async throws(SandboxControlError) -> any DrivenSandbox {
    try await world.enter("create", order.name)
    world.change { $0.sandboxes[order.name] = .init() }
    return FakeSandbox(name: order.name, world: world)
  }

  func restore(
    _ order: SandboxOrder, instance: SandboxInstance?
  ) async throws(SandboxControlError) -> (any DrivenSandbox)? {
    try await world.enter("restore", order.name)
    let isThere = world.change { $0.sandboxes[order.name].map { $0.exit == nil } ?? false }
    return isThere ? FakeSandbox(name: order.name, world: world) : nil
  }

  func remove(_ order: SandboxOrder) async throws(SandboxControlError) {
    try await world.enter("remove", order.name)
    world.change { $0.sandboxes[order.name] = nil }
  }
}

struct FakeSandbox: DrivenSandbox {
  let name: SandboxName
  let world: FakeWorld

  func start() async throws(SandboxControlError) -> SandboxInstance {
    try await world.enter("start", name)
    return world.change { state in
      state.sandboxes[name]?.isStarted = true
      return state.instance
    }
  }

  func stop(within limit: Duration) async throws(SandboxControlError) {
    try await world.enter("stop", name)
    world.end(name, status: 137)
  }

  func wait() async throws(SandboxControlError) -> SandboxExit {
    try await world.enter("wait", name)
    guard let end = world.change({ $0.sandboxes[name]?.end }) else {
      throw SandboxControlError(code: .unreachable, message: "it is not there")
    }
    return try await end.wait()
  }

  func status(verbose: Bool) async throws(SandboxControlError) -> DrivenStatus {
    try await world.enter("status", name)
    return DrivenStatus(pid: 42, state: "SANDBOX_READY", info: ["said": "by the peer"])
  }

  func platform() async throws(SandboxControlError) -> SandboxPlatform {
    try await world.enter("platform", name)
    return SandboxPlatform(os: "linux", architecture: "riscv64", variant: "v")
  }

  func metrics() async throws(SandboxControlError) -> SandboxMetrics {
    try await world.enter("metrics", name)
    return SandboxMetrics(id: name.id)
  }

  func ping() async throws(SandboxControlError) { try await world.enter("ping", name) }

  func update(
    _ record: SandboxRecord, fields: [String]
  ) async throws(SandboxControlError) {
    try await world.enter("update", name)
    world.change { $0.updates.append((record, fields)) }
  }

  func shutDown() async throws(SandboxControlError) {
    try await world.enter("shutdown", name)
    world.end(name, status: 137)
    world.change { $0.sandboxes[name] = nil }
  }

  func release() async { world.change { $0.calls.append("release \(name.id)") } }
}
