import CoreMetrics
import InMemoryTracing
import Logging
import MetricsTestKit
import NIOCore
import NIOEmbedded
import Synchronization
import Testing
import Tracing
import TransportCore

/// Keeps the events that it is told.
private final class EventLog: ConnectionObserver {
  private let log = Mutex<[ConnectionEvent]>([])
  private let (stream, continuation) = AsyncStream<Void>.makeStream()

  func observe(_ event: ConnectionEvent) {
    log.withLock { $0.append(event) }
    continuation.yield()
  }

  var events: [ConnectionEvent] { log.withLock { $0 } }
  /// The events' texts up to their first figure, which is a time.
  var texts: [String] { events.map { text($0.kind) } }

  /// Waits until so many events have come.
  func wait(for count: Int) async {
    for await _ in stream where events.count >= count { return }
  }

  private func text(_ kind: ConnectionEvent.Kind) -> String {
    switch kind {
    case .attemptStarted(let number): "try \(number)"
    case .attemptFailed(let number, let failure, _): "failed \(number) \(failure.message)"
    case .phaseFinished(let timing): "phase \(timing.phase.rawValue)"
    case .connected(let peer, _): "connected \(peer)"
    case .ready(let peer, _): "ready \(peer)"
    case .gaveUp(let error, _): "gave up \(error.code)"
    case .refused(let peer, _): "refused \(peer)"
    case .firstByte: "first byte"
    case .closed(let reason, let received, let sent, _): "closed \(reason) \(received) \(sent)"
    case .listening: "listening"
    case .stopped: "stopped"
    case .acceptFailed(let reason): "accept failed \(reason)"
    }
  }
}

@Suite struct ObservationTests {
  private let address = TransportAddress(
    place: .memory(name: "x"), parameters: [.init("token", "sesame")])
  private let me = PeerIdentity(isThisProcess: true)
  private let log = EventLog()

  private func options(_ observer: (any ConnectionObserver)? = nil) -> ConnectOptions {
    ConnectOptions(
      timeout: .seconds(600), tryLimit: .seconds(600),
      mode: .waitUntilReady(.init(first: .milliseconds(1), most: .milliseconds(2))),
      observer: observer)
  }

  private func connector() -> ScriptedConnector {
    ScriptedConnector(peer: me) { index throws(AttemptFailure) in
      if index == 1 { throw .refused }
    }
  }

  @Test("A connect tells of its tries, phases, peer, first byte and end, in order")
  func connectEvents() async throws {
    let connector = connector()
    let connection = try await connector.connect(to: address, options: options(log)) { _ in }
    let channel = try #require(connector.channel)
    try await channel.writeInbound(ByteBuffer(string: "hello"))
    try await channel.writeAndFlush(ByteBuffer(string: "you"))
    try await channel.writeInbound(ByteBuffer(string: "!"))
    try await connection.channel.close()
    await log.wait(for: 8)
    #expect(
      log.texts == [
        "try 1", "failed 1 nobody listens", "try 2", "phase connect", "phase identity",
        "connected this process", "first byte", "closed by this side 6 3",
      ])
    #expect(Set(log.events.map(\.id)).count == 1)
    #expect(log.events.allSatisfy { $0.side == .dialled && $0.address == address })
    #expect(log.events.allSatisfy { !"\($0)".contains("sesame") })
  }

  @Test("The peer's end and a broken connection are told apart")
  func closeReasons() async throws {
    for reason in ["by the peer", "broken: Broken()"] {
      let log = EventLog()
      let connector = ScriptedConnector()
      _ = try await connector.connect(to: address, options: options(log)) { _ in }
      let channel = try #require(connector.channel)
      let breaks = reason != "by the peer"
      try await channel.testingEventLoop.executeInContext {
        if breaks { channel.pipeline.fireErrorCaught(Broken()) }
        channel.pipeline.fireChannelInactive()
      }
      await log.wait(for: 5)
      #expect(log.texts.last == "closed \(reason) 0 0")
    }
  }

  private struct Broken: Error {}

  @Test("A refusal tells who was refused")
  func refusal() async {
    let me = me
    let connector = ScriptedConnector { _ throws(AttemptFailure) in
      throw .refused(me, by: .hostOnly)
    }
    await #expect(throws: TransportError.self) {
      try await connector.connect(to: address, options: options(log)) { _ in }
    }
    #expect(log.texts.suffix(2) == ["refused this process", "gave up refusedByPolicy"])
  }

  @Test("Waiting for readiness tells of the probe, and of no connection")
  func readiness() async throws {
    _ = try await connector().waitUntilReady(at: address, options: options(log))
    #expect(
      log.texts == [
        "try 1", "failed 1 nobody listens", "try 2", "phase connect", "phase identity",
        "phase probe", "ready this process",
      ])
  }

  @Test("A listener tells of itself and of its connections, each by an id of its own")
  func listenerEvents() async throws {
    let factory = ScriptedListenerFactory("memory", parameters: ["token"])
    var registry = TransportRegistry()
    registry.register(factory)
    let listener = try await registry.listen(at: address, options: ListenOptions(observer: log))
    let scripted = try #require(factory.listeners.first)
    scripted.arrive(me)
    scripted.arrive(PeerIdentity())
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await listener.run(configure: { _ in }) { connection in
          // However it ended, it ended.
          try? await connection.channel.close()
        }
      }
      await log.wait(for: 7)
      listener.close()
      try await group.waitForAll()
    }
    let first = log.events.filter { $0.id == log.events[1].id }
    #expect(first.count == 3)
    #expect(log.texts.filter { $0 == "closed by this side 0 0" }.count == 2)
    #expect(log.texts.first == "listening")
    #expect(log.texts.last == "stopped")
    #expect(log.texts.contains("connected this process"))
    #expect(log.texts.contains("connected unidentified peer"))
    #expect(log.events.allSatisfy { $0.side == .accepted })
  }

  @Test("Without anybody to tell, nothing is added to the channel")
  func unobserved() async throws {
    // Other tests of this process may be subscribed at this moment.
    var last = ""
    for _ in 0..<1000 {
      let connector = ScriptedConnector()
      _ = try await connector.connect(to: address, options: options()) { _ in }
      let channel = try #require(connector.channel)
      last = channel.pipeline.debugDescription
      if !last.contains("TrafficHandler") { return }
    }
    Issue.record("\(last)")
  }

  @Test("A subscriber gets the process's events; what it does not take in time is counted")
  func subscription() async throws {
    let events = ConnectionEvents.subscribe(bufferingNewest: 3)
    let connection = try await connector().connect(to: address, options: options()) { _ in }
    // Others may connect at the same time: there are at least ours.
    #expect(events.dropped >= 3)
    var seen = 0
    for await _ in events {
      seen += 1
      if seen == 3 { break }
    }
    try await connection.channel.close()
  }

  @Test("Log lines say what happened without secrets; a refusal is a warning")
  func logging() async {
    let lines = LogLines()
    var options = options()
    options.logger = Logger(label: "test") { _ in lines.handler }
    let me = me
    let connector = ScriptedConnector { index throws(AttemptFailure) in
      if index == 1 { throw .refused }
      throw .refused(me, by: .hostOnly)
    }
    await #expect(throws: TransportError.self) {
      try await connector.connect(to: address, options: options) { _ in }
    }
    #expect(lines.all.contains { $0.hasPrefix("debug") && $0.contains("nobody listens") })
    #expect(lines.all.contains { $0.hasPrefix("warning") && $0.contains("this process") })
    #expect(lines.all.allSatisfy { !$0.contains("sesame") && $0.contains("memory://x") })
  }

  @Test("Metrics count tries, bytes and refusals, and know what is open")
  func metrics() async throws {
    let metrics = TestMetrics()
    try await withMetricsFactory(metrics) {
      let connector = connector()
      let connection = try await connector.connect(to: address, options: options(log)) { _ in }
      let channel = try #require(connector.channel)
      try await channel.writeInbound(ByteBuffer(string: "hello"))
      try await channel.writeAndFlush(ByteBuffer(string: "you"))
      let labels = [("transport", "memory"), ("side", "dialled")]
      #expect(try metrics.expectMeter("hawsepipe_open_connections", labels).lastValue == 1)
      try await connection.channel.close()
      await log.wait(for: 8)
      #expect(try metrics.expectMeter("hawsepipe_open_connections", labels).lastValue == 0)
      #expect(
        try metrics.expectCounter("hawsepipe_received_bytes_total", labels).totalValue == 5)
      #expect(try metrics.expectCounter("hawsepipe_sent_bytes_total", labels).totalValue == 3)
      #expect(try metrics.expectTimer("hawsepipe_first_byte_seconds", labels).values.count == 1)
      for outcome in ["not_ready", "connected"] {
        let labels = [("transport", "memory"), ("outcome", outcome)]
        #expect(
          try metrics.expectCounter("hawsepipe_connect_attempts_total", labels).totalValue == 1)
      }
      let phase = [("transport", "memory"), ("phase", "connect")]
      #expect(
        try metrics.expectTimer("hawsepipe_phase_seconds", phase).values == [2_000_000])
    }
  }

  @Test("A connect is a span with its tries and its outcome, and without secrets")
  func tracing() async throws {
    let tracer = InMemoryTracer()
    let (address, options, fine) = (address, options(), connector())
    try await withTracer(tracer) {
      _ = try await fine.connect(to: address, options: options) { _ in }
      let failing = ScriptedConnector { _ throws(AttemptFailure) in
        throw AttemptFailure(phase: .tls, message: "bad", outlook: .fatal)
      }
      await #expect(throws: TransportError.self) {
        try await failing.connect(to: address, options: options) { _ in }
      }
    }
    let spans = tracer.finishedSpans
    #expect(spans.map(\.operationName) == ["hawsepipe.connect", "hawsepipe.connect"])
    let first = try #require(spans.first)
    #expect(first.kind == .client)
    #expect(first.events.map(\.name) == ["attempt failed"])
    #expect(first.attributes.get("hawsepipe.attempts") == .int64(2))
    #expect(first.attributes.get("hawsepipe.peer") == .string("this process"))
    #expect(first.attributes.get("hawsepipe.address") == .string("memory://x?token=***"))
    #expect(first.attributes.get("hawsepipe.connect_ns") == .int64(2_000_000))
    #expect(first.status == nil)
    #expect(spans.last?.status?.code == .error)
    #expect(spans.last?.errors.count == 1)
  }
}

/// Keeps log lines.
private final class LogLines: Sendable {
  private let lines = Mutex<[String]>([])
  var all: [String] { lines.withLock { $0 } }
  var handler: any LogHandler { Handler(lines: self) }

  private struct Handler: LogHandler {
    let lines: LogLines
    var logLevel: Logger.Level = .trace
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let values = (event.metadata ?? [:]).map { "\($0)=\($1)" }.sorted().joined(separator: " ")
      lines.lines.withLock { $0.append("\(event.level) \(event.message) \(values)") }
    }
  }
}
