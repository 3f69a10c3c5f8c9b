import ContainerdAPI
import ContainerdClient
import Glibc
import RPCCore
import RPCLoopback
import ShimTestKit
import SwiftProtobuf
import Testing

@testable import SandboxControl

/// A controller on a directory of its own, served without a network, and what it controls.
struct ControlFixture {
  let scratch: ScratchDirectory
  let world: FakeWorld
  let control: SandboxControlService
  let client: Containerd_Services_Sandbox_V1_ControllerClient<Loopback>
  let events: Containerd_Services_Events_V1_EventsClient<Loopback>

  static var quick: ControlLimits {
    var limits = ControlLimits()
    limits.load = .milliseconds(300)
    limits.cleanup = .milliseconds(300)
    limits.shutdown = .milliseconds(300)
    return limits
  }

  init(
    after other: ControlFixture? = nil, limits: ControlLimits = quick,
    namespaces: Set<String>? = nil, events limit: EventExchange.Limits = .init()
  ) throws {
    scratch = try other?.scratch ?? ScratchDirectory()
    world = other?.world ?? FakeWorld()
    control = SandboxControlService(
      state: scratch.path,
      selection: DriverSelection([FakeDriver(world: world)], runtimes: ["io.r.v1": "fake"]),
      limits: limits, events: EventExchange(limits: limit))
    var loopback = Loopback()
    ControllerService(control, namespaces: namespaces).register(on: &loopback)
    EventsService(control.events).register(on: &loopback)
    client = .init(caller: loopback)
    events = .init(caller: loopback)
  }

  var options: RPCCallOptions { RPCCallOptions(metadata: ["containerd-namespace": "k8s.io"]) }

  static func name(_ id: String) throws -> SandboxName {
    try SandboxName(namespace: "k8s.io", id: id)
  }

  static func request(
    _ id: String, runtime: String = "io.r.v1"
  ) -> Containerd_Services_Sandbox_V1_ControllerCreateRequest {
    .with { request in
      request.sandboxID = id
      request.netnsPath = "/run/netns/a"
      request.annotations = ["a": "1", "b": "2"]
      request.options = .with { $0.typeURL = "o" }
      request.sandbox.sandboxID = id
      request.sandbox.runtime.name = runtime
    }
  }

  func create(_ id: String) async throws {
    _ = try await client.create(Self.request(id), options: options)
  }

  @discardableResult
  func start(
    _ id: String
  ) async throws -> Containerd_Services_Sandbox_V1_ControllerStartResponse {
    try await client.start(.with { $0.sandboxID = id }, options: options)
  }

  func status(
    _ id: String, verbose: Bool = false
  ) async throws -> Containerd_Services_Sandbox_V1_ControllerStatusResponse {
    try await client.status(
      .with {
        $0.sandboxID = id
        $0.verbose = verbose
      }, options: options)
  }

  func wait(_ id: String) async throws -> Containerd_Services_Sandbox_V1_ControllerWaitResponse {
    try await client.wait(.with { $0.sandboxID = id }, options: options)
  }

  func stop(_ id: String) async throws {
    _ = try await client.stop(.with { $0.sandboxID = id }, options: options)
  }

  func shutdown(_ id: String) async throws {
    _ = try await client.shutdown(.with { $0.sandboxID = id }, options: options)
  }

  /// Subscribes, and returns when nothing that happens from now on is missed.
  func subscribe(
    _ filters: String...
  ) async throws -> RPCReader<Containerd_Types_Envelope> {
    let before = control.events.subscribers
    let reader = try await events.subscribe(.with { $0.filters = filters }, options: options)
    try await Self.eventually("it is subscribed") { control.events.subscribers > before }
    return reader
  }

  /// The next events, each as its topic and the id of its sandbox.
  static func topics(
    _ count: Int, of reader: RPCReader<Containerd_Types_Envelope>
  ) async throws -> [String] {
    var topics: [String] = []
    for _ in 0..<count {
      guard let event = try await reader.next() else { break }
      topics.append("\(event.topic) \(event.namespace) \(try Self.id(in: event))")
    }
    return topics
  }

  private static func id(in event: Containerd_Types_Envelope) throws -> String {
    switch event.topic {
    case EventTopic.sandboxCreate:
      try TypeURL.unpack(event.event, as: Containerd_Events_SandboxCreate.self).sandboxID
    case EventTopic.sandboxStart:
      try TypeURL.unpack(event.event, as: Containerd_Events_SandboxStart.self).sandboxID
    case EventTopic.sandboxExit:
      try {
        let exit = try TypeURL.unpack(event.event, as: Containerd_Events_SandboxExit.self)
        return "\(exit.sandboxID) \(exit.exitStatus)"
      }()
    default: event.event.typeURL
    }
  }

  func recordPath(_ id: String) -> String { "sandboxes/k8s.io/\(id).json" }

  /// Waits for what is not told of, within a limit that only a hang reaches.
  static func eventually(
    _ what: String, _ condition: () async throws -> Bool
  ) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while try await !condition() {
      guard ContinuousClock.now < deadline else {
        Issue.record("\(what): it does not come about")
        return
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }
}

/// The code of the error that a call ends with; nil if it does not.
func code(_ body: () async throws -> Void) async -> RPCCode? {
  do {
    try await body()
    return nil
  } catch let error as RPCError {
    return error.code
  } catch {
    Issue.record("not an RPCError: \(error)")
    return nil
  }
}
