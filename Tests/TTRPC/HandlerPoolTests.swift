import Glibc
import RPCCore
import SwiftProtobuf
import Synchronization
import Testing
import TransportCore
import UnixTransport

@testable import TTRPC

/// Handlers that block must hold up neither the loop nor each other.
@Suite(.timeLimit(.minutes(2))) struct HandlerPoolTests {
  @Test func callsBehindABlockedHandlerAreAnswered() async throws {
    let gate = DispatchGate()
    try await withLoopback { server in
      server.register(RPCMethod(service: "t", name: "Block")) {
        (message: Google_Protobuf_Int64Value, _) in
        gate.wait()
        return message
      }
      server.register(RPCMethod(service: "t", name: "Echo")) {
        (message: Google_Protobuf_Int64Value, _) in message
      }
    } body: { client in
      // One thread fewer than there are, so that one is left.
      let blocked = HandlerPool.width - 1
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<blocked {
          group.addTask { try await expectEcho(of: Int64(number), "Block", client) }
        }
        for round in 0..<50 {
          try await withThrowingTaskGroup(of: Void.self) { quick in
            for number in 0..<20 {
              quick.addTask { try await expectEcho(of: Int64(round * 20 + number), "Echo", client) }
            }
            try await quick.waitForAll()
          }
        }
        gate.open()
        try await group.waitForAll()
      }
    }
  }

  @Test func handlersThatSuspendAndThoseThatDoNotGetTheirOwnAnswers() async throws {
    try await withLoopback { server in
      server.register(RPCMethod(service: "t", name: "Mixed")) {
        (message: Google_Protobuf_Int64Value, _) in
        switch message.value % 4 {
        case 0: await Task.yield()
        case 1: try await Task.sleep(for: .microseconds(200))
        case 2: usleep(100)
        default: break
        }
        return message
      }
    } body: { client in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<2000 {
          group.addTask { try await expectEcho(of: Int64(number), "Mixed", client) }
        }
        try await group.waitForAll()
      }
    }
  }
}

private func withLoopback(
  _ register: (inout TTRPCServer) -> Void,
  body: @escaping @Sendable (TTRPCClient) async throws -> Void
) async throws {
  var server = TTRPCServer()
  register(&server)
  let name = "hawsepipe-pool-\(getpid())-\(UInt64.random(in: 0 ... .max))"
  let address = TransportAddress(place: .abstract(name: name))
  let listener = try UnixListener(bindingTo: address)
  try await withThrowingTaskGroup(of: Void.self) { [server] group in
    group.addTask { try await server.run(on: listener) }
    try await withTTRPCClient(to: address, using: TransportRegistry([UnixConnector()])) { client in
      try await body(client)
    }
    group.cancelAll()
    try await group.waitForAll()
  }
}

private func expectEcho(of number: Int64, _ method: String, _ client: TTRPCClient) async throws {
  var request = Google_Protobuf_Int64Value()
  request.value = number
  let answer = try await client.unary(
    RPCMethod(service: "t", name: method), request, returning: Google_Protobuf_Int64Value.self,
    options: RPCCallOptions())
  #expect(answer.value == number)
}

/// Blocks threads until it is opened.
private final class DispatchGate: Sendable {
  private let isOpen = Atomic(false)
  func open() { isOpen.store(true, ordering: .releasing) }
  func wait() { while !isOpen.load(ordering: .acquiring) { usleep(1000) } }
}
