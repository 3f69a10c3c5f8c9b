import NIOCore
import RPCCore
import SwiftProtobuf
import Testing

@testable import TTRPC

/// What Go's integration/streaming_test.go asks of a server and a client, asked of ours. Messages
/// with two numbers are a Timestamp's, whose fields have the same numbers and types on the wire.
@Suite("TestStreamingService, as Go's implementation has it", .timeLimit(.minutes(5)))
struct GoStreamingConformanceTests {
  typealias Sum = Google_Protobuf_Timestamp

  private static func method(_ name: String) -> RPCMethod {
    RPCMethod(service: "ttrpc.integration.streaming.Streaming", name: name)
  }

  private static func server(_ execution: RPCExecution) -> TTRPCServer {
    var server = TTRPCServer()
    server.register(method("Echo"), execution: execution) { (number: Number, _) in number.next }
    server.registerBidirectional(method("EchoStream"), execution: execution) {
      (numbers: RPCReader<Number>, out: RPCWriter<Number>, _) in
      for try await number in numbers { try await out.send(number.next) }
    }
    server.registerClientStreaming(method("SumStream"), execution: execution) {
      (numbers: RPCReader<Number>, _) -> Sum in
      var sum = Sum()
      for try await number in numbers {
        sum.seconds += number.value
        sum.nanos += 1
      }
      return sum
    }
    server.registerServerStreaming(method("DivideStream"), execution: execution) {
      (sum: Sum, out: RPCWriter<Number>, _) in
      var left = sum.seconds
      // A zero at both ends, as there.
      try await out.send(Number(0))
      for part in 1..<Int64(sum.nanos - 2) {
        try await out.send(Number(part))
        left -= part
      }
      try await out.send(Number(left))
      try await out.send(Number(0))
    }
    server.registerClientStreaming(method("EchoNull"), execution: execution) {
      (numbers: RPCReader<Number>, _) -> Empty in
      var expected: Int64 = 0
      for try await number in numbers {
        #expect(number.value == expected)
        expected += 1
      }
      return Empty()
    }
    server.registerBidirectional(method("EchoNullStream"), execution: execution) {
      (numbers: RPCReader<Number>, out: RPCWriter<Empty>, _) in
      // Ten replies to each, from tasks that send at once.
      try await withThrowingTaskGroup(of: Void.self) { group in
        for try await _ in numbers {
          for _ in 0..<10 { group.addTask { try await out.send(Empty()) } }
        }
        try await group.waitForAll()
      }
    }
    server.registerServerStreaming(method("EmptyPayloadStream"), execution: execution) {
      (_: Empty, out: RPCWriter<Number>, _) in
      try await out.send(Number(1))
      try await out.send(Number(2))
    }
    return server
  }

  private func serving(
    _ execution: RPCExecution, _ body: @escaping @Sendable (TTRPCClient) async throws -> Void
  ) async throws {
    try await StreamService.serving(Self.server(execution)) { client in
      try await body(client)
      #expect(await client.pendingCalls == 0)
    }
  }

  private static let executions = [RPCExecution.pool, .eventLoop]

  @Test("Echo: a unary call beside the streams", arguments: executions)
  func echo(_ execution: RPCExecution) async throws {
    try await serving(execution) { client in
      let answer = try await client.unary(
        Self.method("Echo"), Number(41), returning: Number.self, options: .init())
      #expect(answer.value == 42)
    }
  }

  @Test("EchoStream: 50 round trips, then the end", arguments: executions)
  func echoStream(_ execution: RPCExecution) async throws {
    try await serving(execution) { client in
      let call = try await client.bidirectional(
        Self.method("EchoStream"), sending: Number.self, returning: Number.self, options: .init())
      for value in 0..<100 as Range<Int64> where value % 2 == 0 {
        try await call.send(Number(value))
        #expect(try await call.responses.next()?.value == value + 1)
      }
      try await call.finishSending()
      #expect(try await call.responses.next() == nil)
    }
  }

  @Test("SumStream: messages of zero at both ends count", arguments: executions)
  func sumStream(_ execution: RPCExecution) async throws {
    try await serving(execution) { client in
      let call = try await client.clientStreaming(
        Self.method("SumStream"), sending: Number.self, returning: Sum.self, options: .init())
      try await call.send(Number(0))
      for value in -99...100 as ClosedRange<Int64> { try await call.send(Number(value)) }
      try await call.send(Number(0))
      let sum = try await call.response()
      #expect(sum.seconds == 100)
      #expect(sum.nanos == 202)
    }
  }

  @Test("DivideStream: 392 in 30 parts, zeros among them", arguments: executions)
  func divideStream(_ execution: RPCExecution) async throws {
    try await serving(execution) { client in
      let request = Sum.with {
        $0.seconds = 392
        $0.nanos = 30
      }
      let parts = try await client.serverStreaming(
        Self.method("DivideStream"), request, returning: Number.self, options: .init())
      var sum: Int64 = 0
      var count = 0
      for try await part in parts {
        sum += part.value
        count += 1
      }
      #expect(sum == 392)
      #expect(count == 30)
    }
  }

  @Test("EchoNull: 100 messages, one empty response", arguments: executions)
  func echoNull(_ execution: RPCExecution) async throws {
    try await serving(execution) { client in
      let call = try await client.clientStreaming(
        Self.method("EchoNull"), sending: Number.self, returning: Empty.self, options: .init())
      for value in 0..<100 as Range<Int64> { try await call.send(Number(value)) }
      #expect(try await call.response() == Empty())
    }
  }

  @Test("EchoNullStream: 1,000 empty replies that are sent at once", arguments: executions)
  func echoNullStream(_ execution: RPCExecution) async throws {
    try await serving(execution) { client in
      let call = try await client.bidirectional(
        Self.method("EchoNullStream"), sending: Number.self, returning: Empty.self,
        options: .init())
      async let count = {
        var count = 0
        for try await _ in call.responses { count += 1 }
        return count
      }()
      for value in 0..<100 as Range<Int64> { try await call.send(Number(value)) }
      try await call.finishSending()
      #expect(try await count == 1_000)
    }
  }

  @Test("EmptyPayloadStream: an empty request starts a stream", arguments: executions)
  func emptyPayloadStream(_ execution: RPCExecution) async throws {
    try await serving(execution) { client in
      let numbers = try await client.serverStreaming(
        Self.method("EmptyPayloadStream"), Empty(), returning: Number.self, options: .init())
      var seen: [Int64] = []
      for try await number in numbers { seen.append(number.value) }
      #expect(seen == [1, 2])
    }
  }
}
