import CoreMetrics
import InMemoryTracing
import Logging
import MetricsTestKit
import NIOCore
import RPCCore
import RPCLoopback
import SwiftProtobuf
import Synchronization
import Testing
import Tracing

private typealias Text = Google_Protobuf_StringValue

@Suite struct RPCObservationTests {
  private static let echo = RPCMethod(service: "t.S", name: "Echo")
  private static let fail = RPCMethod(service: "t.S", name: "Fail")

  private static func register(on registrar: inout some RPCRegistrar) {
    registrar.register(echo) { (text: Text, _) in text }
    registrar.register(fail) { (_: Text, _) -> Text in
      throw RPCError(code: .notFound, message: "nope")
    }
  }

  private static func call(_ method: RPCMethod, _ caller: some RPCCaller) async throws {
    _ = try await caller.unary(
      method, Text("secret"), returning: Text.self,
      options: RPCCallOptions(metadata: ["token": "hidden"]))
  }

  @Test("A log line tells how a call ended, and nothing of what it carried")
  func logging() async throws {
    let lines = LogLines()
    var logger = Logger(label: "test") { _ in lines }
    logger.logLevel = .trace
    var server = Loopback()
    Self.register(on: &server)
    let caller = server.intercepted(by: [RPCLoggingInterceptor(logger)])
    try await Self.call(Self.echo, caller)
    await #expect(throws: RPCError.self) { try await Self.call(Self.fail, caller) }
    let told = lines.all
    #expect(told.count == 2)
    #expect(told[0].contains("debug") && told[0].contains("t.S/Echo") && told[0].contains("OK"))
    #expect(told[1].contains("notice") && told[1].contains("NotFound: nope"))
    #expect(!told.contains { $0.contains("hidden") || $0.contains("secret") })
  }

  @Test("Metrics count calls by method and code, and time them")
  func metrics() async throws {
    let factory = TestMetrics()
    var server = Loopback()
    server.intercept(with: [RPCMetricsInterceptor(factory: factory)]) { Self.register(on: &$0) }
    for _ in 0..<3 { try await Self.call(Self.echo, server) }
    await #expect(throws: RPCError.self) { try await Self.call(Self.fail, server) }
    func calls(_ method: String, _ code: String) throws -> Int64 {
      try factory.expectCounter(
        "hawsepipe_rpc_calls_total", [("side", "server"), ("method", method), ("code", code)]
      ).totalValue
    }
    #expect(try calls("t.S/Echo", "OK") == 3)
    #expect(try calls("t.S/Fail", "NotFound") == 1)
    let timer = try factory.expectTimer(
      "hawsepipe_rpc_seconds", [("side", "server"), ("method", "t.S/Echo")])
    #expect(timer.values.count == 3)
    let messages = try factory.expectCounter(
      "hawsepipe_rpc_messages_total",
      [("side", "server"), ("method", "t.S/Echo"), ("direction", "received")])
    #expect(messages.totalValue == 3)
  }

  @Test("A trace goes on from the caller's span through the metadata into the handler's")
  func tracing() async throws {
    let tracer = InMemoryTracer()
    let tracing = RPCTracingInterceptor(tracer: tracer)
    let seen = Mutex<ServiceContext?>(nil)
    var server = Loopback()
    server.intercept(with: [tracing]) { server in
      server.register(Self.echo) { (text: Text, _) in
        seen.withLock { $0 = ServiceContext.current }
        return text
      }
      server.register(Self.fail) { (_: Text, _) -> Text in
        throw RPCError(code: .notFound, message: "nope")
      }
    }
    let caller = server.intercepted(by: [tracing])
    try await Self.call(Self.echo, caller)
    let spans = tracer.finishedSpans
    let client = try #require(spans.first { $0.kind == .client })
    let served = try #require(spans.first { $0.kind == .server })
    #expect(client.operationName == "t.S/Echo" && served.operationName == "t.S/Echo")
    #expect(served.spanContext.parentSpanID == client.spanContext.spanID)
    #expect(served.spanContext.traceID == client.spanContext.traceID)
    #expect(seen.withLock { $0 }?.inMemorySpanContext?.spanID == served.spanContext.spanID)
    #expect(client.attributes["rpc.status_code"]?.toSpanAttribute() == .int64(0))

    await #expect(throws: RPCError.self) { try await Self.call(Self.fail, caller) }
    let failed = tracer.finishedSpans.filter { $0.operationName == "t.S/Fail" }
    #expect(failed.count == 2)
    #expect(failed.allSatisfy { $0.status?.code == .error && $0.errors.count == 1 })
  }
}

/// What was logged, a line each.
private final class LogLines: LogHandler, Sendable {
  private let lines = Mutex<[String]>([])
  var all: [String] { lines.withLock { $0 } }

  var logLevel: Logger.Level {
    get { .trace }
    set {}
  }
  var metadata: Logger.Metadata {
    get { [:] }
    set {}
  }
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { nil }
    set {}
  }

  func log(event: LogEvent) {
    lines.withLock { $0.append("\(event.level) \(event.message) \(event.metadata ?? [:])") }
  }
}
