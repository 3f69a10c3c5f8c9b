import Glibc
import NIOCore
import RPCCore
import SwiftProtobuf
import TransportCore
import UnixTransport

@testable import TTRPC

typealias Number = Google_Protobuf_Int64Value
typealias Empty = Google_Protobuf_Empty

/// t.S with a method of each kind, in numbers.
enum StreamService {
  static let unary = RPCMethod(service: "t.S", name: "Next")
  /// Gives back the sum of the numbers that it was sent.
  static let sum = RPCMethod(service: "t.S", name: "Sum")
  /// Counts from zero up to a number, without it.
  static let count = RPCMethod(service: "t.S", name: "Count")
  /// Gives back each number plus one.
  static let echo = RPCMethod(service: "t.S", name: "Echo")

  static func server(
    _ configuration: TTRPCServer.Configuration = .init(), execution: RPCExecution = .pool
  ) -> TTRPCServer {
    var server = TTRPCServer(configuration: configuration)
    server.register(unary, execution: execution) { (number: Number, _) in number.next }
    server.registerClientStreaming(sum, execution: execution) {
      (numbers: RPCReader<Number>, _) -> Number in
      var sum = Number()
      for try await number in numbers { sum.value += number.value }
      return sum
    }
    server.registerServerStreaming(count, execution: execution) {
      (limit: Number, out: RPCWriter<Number>, _) in
      for value in 0..<limit.value { try await out.send(Number(value)) }
    }
    server.registerBidirectional(echo, execution: execution) {
      (numbers: RPCReader<Number>, out: RPCWriter<Number>, _) in
      for try await number in numbers { try await out.send(number.next) }
    }
    return server
  }

  /// Runs `body` with a client of the server, over a unix socket of their own.
  static func serving<Value: Sendable>(
    _ server: TTRPCServer, client configuration: TTRPCClient.Configuration = .init(),
    _ body: @escaping @Sendable (TTRPCClient) async throws -> Value
  ) async throws -> Value {
    let name = "hawsepipe-stream-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    let address = TransportAddress(place: .abstract(name: name))
    let listener = try UnixListener(bindingTo: address)
    let connectors = TransportRegistry([UnixConnector()])
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.run(on: listener) }
      let client = try await TTRPCClient.connect(
        to: address, using: connectors, configuration: configuration)
      let value = try await body(client)
      await client.close()
      group.cancelAll()
      try await group.waitForAll()
      return value
    }
  }
}

extension Google_Protobuf_Int64Value {
  init(_ value: Int64) {
    self.init()
    self.value = value
  }

  var next: Self { Self(value + 1) }
}
