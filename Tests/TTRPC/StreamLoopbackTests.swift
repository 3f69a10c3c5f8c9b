import NIOCore
import RPCCore
import SwiftProtobuf
import Testing

@testable import TTRPC

@Suite("Streams between our client and our server", .timeLimit(.minutes(5)))
struct StreamLoopbackTests {
  /// Runs `body` on the client's event loop, or on the pool.
  private func serving(
    _ execution: RPCExecution, _ body: @escaping @Sendable (TTRPCClient) async throws -> Void
  ) async throws {
    try await StreamService.serving(StreamService.server(execution: execution)) { client in
      if execution == .eventLoop {
        try await withTaskExecutorPreference(client.executor) { try await body(client) }
      } else {
        try await body(client)
      }
      try await eventually { await client.pendingCalls == 0 }
    }
  }

  @Test("many requests, one response", arguments: [RPCExecution.pool, .eventLoop])
  func clientStreaming(_ execution: RPCExecution) async throws {
    try await serving(execution) { client in
      let call = try await client.clientStreaming(
        StreamService.sum, sending: Number.self, returning: Number.self, options: .init())
      for value in 0..<10_000 as Range<Int64> { try await call.send(Number(value)) }
      #expect(try await call.response().value == 49_995_000)
    }
  }

  @Test("one request, many responses", arguments: [RPCExecution.pool, .eventLoop])
  func serverStreaming(_ execution: RPCExecution) async throws {
    try await serving(execution) { client in
      let numbers = try await client.serverStreaming(
        StreamService.count, Number(10_000), returning: Number.self, options: .init())
      var expected: Int64 = 0
      for try await number in numbers {
        #expect(number.value == expected)
        expected += 1
      }
      #expect(expected == 10_000)
    }
  }

  @Test("many requests, many responses, in step", arguments: [RPCExecution.pool, .eventLoop])
  func inStep(_ execution: RPCExecution) async throws {
    try await serving(execution) { client in
      let call = try await client.bidirectional(
        StreamService.echo, sending: Number.self, returning: Number.self, options: .init())
      for value in 0..<200 as Range<Int64> {
        try await call.send(Number(value))
        #expect(try await call.responses.next()?.value == value + 1)
      }
      try await call.finishSending()
      #expect(try await call.responses.next() == nil)
    }
  }

  @Test("many requests, many responses, at full speed", arguments: [RPCExecution.pool, .eventLoop])
  func fullSpeed(_ execution: RPCExecution) async throws {
    try await serving(execution) { client in
      let call = try await client.bidirectional(
        StreamService.echo, sending: Number.self, returning: Number.self, options: .init())
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          for value in 0..<20_000 as Range<Int64> { try await call.send(Number(value)) }
          try await call.finishSending()
        }
        var expected: Int64 = 1
        for try await number in call.responses {
          #expect(number.value == expected)
          expected += 1
        }
        #expect(expected == 20_001)
        try await group.waitForAll()
      }
    }
  }

  @Test("streams and calls go on side by side", arguments: [RPCExecution.pool, .eventLoop])
  func sideBySide(_ execution: RPCExecution) async throws {
    try await serving(execution) { client in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<20 {
          group.addTask {
            let numbers = try await client.serverStreaming(
              StreamService.count, Number(100), returning: Number.self, options: .init())
            var count = 0
            for try await _ in numbers { count += 1 }
            #expect(count == 100)
          }
          group.addTask {
            for value in 0..<20 as Range<Int64> {
              let answer = try await client.unary(
                StreamService.unary, Number(value), returning: Number.self, options: .init())
              #expect(answer.value == value + 1)
            }
          }
        }
        try await group.waitForAll()
      }
    }
  }
}
