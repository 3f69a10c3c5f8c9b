import ContainerdAPI
import ContainerdClient
import RPCCore
import ShimTestKit
import SwiftProtobuf
import Testing

@testable import SandboxControl

@Suite("the controller's events")
struct EventsTests {
  @Test("a sandbox's creation, start and end are told, each once, with its namespace")
  func life() async throws {
    let fixture = try ControlFixture()
    let reader = try await fixture.subscribe()
    try await fixture.create("pod")
    try await fixture.start("pod")
    try await fixture.start("pod")
    async let first = fixture.wait("pod")
    async let second = fixture.wait("pod")
    try await fixture.stop("pod")
    _ = try await (first, second)
    try await fixture.shutdown("pod")
    try await fixture.create("next")
    #expect(
      try await ControlFixture.topics(4, of: reader) == [
        "/sandboxes/create k8s.io pod", "/sandboxes/start k8s.io pod",
        "/sandboxes/exit k8s.io pod 137", "/sandboxes/create k8s.io next",
      ])
    reader.cancel()
  }

  @Test(
    "an end is told though nobody waits for it: by itself, by a shutdown, by a start that fails")
  func ends() async throws {
    let fixture = try ControlFixture()
    let reader = try await fixture.subscribe("topic==\"/sandboxes/exit\"")
    for id in ["alone", "shut", "failed", "idle"] { try await fixture.create(id) }
    try await fixture.start("alone")
    fixture.world.end(try ControlFixture.name("alone"), status: 4)
    #expect(try await ControlFixture.topics(1, of: reader) == ["/sandboxes/exit k8s.io alone 4"])
    try await fixture.start("shut")
    try await fixture.shutdown("shut")
    #expect(
      try await ControlFixture.topics(1, of: reader).map { $0.prefix(27) }
        == ["/sandboxes/exit k8s.io shut"])
    fixture.world.change {
      $0.failures["start"] = SandboxControlError(code: .callFailed, message: "it cannot")
    }
    #expect(await code { try await fixture.start("failed") } != nil)
    #expect(try await ControlFixture.topics(1, of: reader) == ["/sandboxes/exit k8s.io failed 255"])
    try await fixture.shutdown("idle")
    #expect(try await ControlFixture.topics(1, of: reader) == ["/sandboxes/exit k8s.io idle 255"])
    reader.cancel()
  }

  @Test("a creation that fails is not told of")
  func notCreated() async throws {
    let fixture = try ControlFixture()
    let reader = try await fixture.subscribe()
    fixture.world.change {
      $0.failures["create"] = SandboxControlError(code: .callFailed, message: "it cannot")
    }
    #expect(await code { try await fixture.create("pod") } != nil)
    fixture.world.change { $0.failures = [:] }
    try await fixture.create("pod")
    #expect(try await ControlFixture.topics(1, of: reader) == ["/sandboxes/create k8s.io pod"])
    reader.cancel()
  }

  @Test("after a restart an end is told that was not before, and none that was")
  func restart() async throws {
    let before = try ControlFixture()
    for id in ["told", "untold"] {
      try await before.create(id)
      try await before.start(id)
    }
    try await before.stop("told")
    await before.control.close()
    before.world.end(try ControlFixture.name("untold"), status: 4)
    let after = try ControlFixture(after: before)
    let reader = try await after.subscribe()
    _ = try await after.control.restore()
    try await after.shutdown("told")
    try await after.create("next")
    #expect(
      try await ControlFixture.topics(2, of: reader) == [
        "/sandboxes/exit k8s.io untold 255", "/sandboxes/create k8s.io next",
      ])
    reader.cancel()
  }

  @Test(
    "a client's events are handed on, published with its namespace and now, forwarded as they are")
  func others() async throws {
    let fixture = try ControlFixture()
    let reader = try await fixture.subscribe()
    let event = try TypeURL.pack(Containerd_Events_TaskOOM.with { $0.containerID = "c" })
    _ = try await fixture.events.publish(
      .with {
        $0.topic = "/tasks/oom"
        $0.event = event
      }, options: fixture.options)
    let envelope = Containerd_Types_Envelope.with {
      $0.timestamp = .init(seconds: 5, nanos: 6)
      $0.namespace = "other"
      $0.topic = "/some-thing/else"
      $0.event = event
    }
    _ = try await fixture.events.forward(.with { $0.envelope = envelope }, options: .init())
    let published = try #require(try await reader.next())
    #expect(published.namespace == "k8s.io" && published.topic == "/tasks/oom")
    #expect(published.event == event && published.timestamp.seconds > 1_600_000_000)
    #expect(try await reader.next() == envelope)
    reader.cancel()
  }

  @Test(
    "what containerd would not take is refused",
    arguments: ["", "/", "tasks/exit", "/tasks//exit", "/tasks/", "/ta sks", "//tasks"])
  func topics(_ topic: String) async throws {
    let fixture = try ControlFixture()
    let refused = await code {
      _ = try await fixture.events.publish(.with { $0.topic = topic }, options: fixture.options)
    }
    #expect(refused == .invalidArgument)
  }

  @Test("an event without a namespace, a name or a time is refused")
  func incomplete() async throws {
    let fixture = try ControlFixture()
    #expect(
      await code {
        _ = try await fixture.events.publish(.with { $0.topic = "/a" }, options: .init())
      } == .failedPrecondition)
    let whole = Containerd_Types_Envelope.with {
      $0.timestamp = .init(seconds: 5)
      $0.namespace = "k8s.io"
      $0.topic = "/a"
    }
    var (timeless, nameless) = (whole, whole)
    timeless.clearTimestamp()
    nameless.namespace = "../x"
    for envelope in [timeless, nameless, Containerd_Types_Envelope()] {
      #expect(
        await code {
          _ = try await fixture.events.forward(.with { $0.envelope = envelope }, options: .init())
        } == .invalidArgument)
    }
  }

  @Test("who falls behind too far is told so, and holds nothing; others miss nothing")
  func behind() async throws {
    var limits = EventExchange.Limits()
    limits.events = 8
    let exchange = EventExchange(limits: limits)
    let slow = try exchange.subscribe()
    let quick = try exchange.subscribe()
    for number in 0..<20 {
      exchange.publish(.with { $0.topic = "/t/\(number)" })
      #expect(try await quick.next().topic == "/t/\(number)")
    }
    let error = await #expect(throws: SandboxControlError.self) { _ = try await slow.next() }
    #expect(error?.code == .overrun && error?.rpcCode == .resourceExhausted)
  }

  @Test("bytes count as well as events, and one that is larger than all room is told all the same")
  func bytes() async throws {
    var limits = EventExchange.Limits()
    limits.bytes = 1000
    let exchange = EventExchange(limits: limits)
    let subscription = try exchange.subscribe()
    func publish(_ size: Int) {
      exchange.publish(
        .with {
          $0.topic = "/t"
          $0.event = TypeURL.pack(json: [UInt8](repeating: 0, count: size), as: "t")
        })
    }
    publish(5000)
    #expect(try await subscription.next().event.value.count == 5000)
    for _ in 0..<3 { publish(200) }
    for _ in 0..<3 { #expect(try await subscription.next().event.value.count == 200) }
    publish(5000)
    publish(1)
    await #expect(throws: SandboxControlError.self) { _ = try await subscription.next() }
  }

  @Test("there is a limit of subscribers, and one that goes makes room")
  func subscribers() async throws {
    var limits = EventExchange.Limits()
    limits.subscribers = 2
    let exchange = EventExchange(limits: limits)
    let first = try exchange.subscribe()
    _ = try exchange.subscribe()
    #expect(throws: SandboxControlError.self) { _ = try exchange.subscribe() }
    exchange.unsubscribe(first)
    _ = try exchange.subscribe()
  }

  @Test("a subscription ends when its caller goes, and with the controller behind its last event")
  func subscriptionEnds() async throws {
    let fixture = try ControlFixture()
    let reader = try await fixture.subscribe()
    try await fixture.create("pod")
    fixture.control.beginStopping()
    #expect(try await ControlFixture.topics(1, of: reader) == ["/sandboxes/create k8s.io pod"])
    #expect(await code { _ = try await reader.next() } == .unavailable)
    try await ControlFixture.eventually("it is gone") { fixture.control.events.subscribers == 0 }
    #expect(
      await code { _ = try await fixture.events.subscribe(.init(), options: .init()).next() }
        == .unavailable)

    let exchange = EventExchange()
    let subscription = try exchange.subscribe()
    let waiting = Task { try await subscription.next() }
    waiting.cancel()
    await #expect(throws: SandboxControlError.self) { _ = try await waiting.value }
  }

  @Test("a filter that cannot be meant is refused")
  func badFilter() async throws {
    let fixture = try ControlFixture()
    #expect(
      await code {
        _ = try await fixture.events.subscribe(.with { $0.filters = ["topic=="] }, options: .init())
          .next()
      } == .invalidArgument)
  }
}
