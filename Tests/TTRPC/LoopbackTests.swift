import Glibc
import NIOCore
import RPCCore
import SwiftProtobuf
import Synchronization
import Testing
import TransportCore
import UnixTransport

@testable import TTRPC

@Suite("Client and server over a real unix socket", .timeLimit(.minutes(2)))
struct LoopbackTests {
  static let echo = RPCMethod(service: "t.S", name: "Echo")
  private let connectors = TransportRegistry([UnixConnector()])

  /// Runs `body` while a server of t.S listens at a socket of its own.
  private func serving(
    _ execution: RPCExecution = .pool,
    _ body: @escaping @Sendable (TransportAddress) async throws -> Void
  ) async throws {
    var server = TTRPCServer()
    server.register(Self.echo, execution: execution) { (text: Text, _) in text }
    server.register(RPCMethod(service: "t.S", name: "Peer"), execution: execution) {
      (_: Text, context) in
      Text.with { $0.value = "\(context.peer.unix?.pid ?? -1)" }
    }
    server.register(RPCMethod(service: "t.S", name: "Hang")) { (text: Text, _) in
      try await Task.sleep(for: .seconds(600))
      return text
    }
    let name = "hawsepipe-ttrpc-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    let address = TransportAddress(place: .abstract(name: name))
    let listener = try UnixListener(bindingTo: address)
    try await withThrowingTaskGroup(of: Void.self) { [server] group in
      group.addTask { try await server.run(on: listener) }
      try await body(address)
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  private static func echo(_ client: TTRPCClient, _ value: String) async throws -> String {
    try await client.unary(
      echo, Text.with { $0.value = value }, returning: Text.self,
      options: RPCCallOptions(timeout: .seconds(60))
    ).value
  }

  @Test(
    "ten thousand calls at once each get their own answer",
    arguments: [RPCExecution.pool, .eventLoop])
  func manyCalls(_ execution: RPCExecution) async throws {
    try await serving(execution) { address in
      try await withTTRPCClient(to: address, using: connectors) { client in
        let wrong = try await withThrowingTaskGroup(of: Bool.self) { group in
          for index in 0..<10_000 {
            group.addTask { try await Self.echo(client, "\(index)") != "\(index)" }
          }
          return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(wrong == 0)
      }
    }
  }

  @Test("the scoped client's body and its child tasks run on the connection's event loop")
  func onTheLoop() async throws {
    try await serving { address in
      try await withTTRPCClient(to: address, using: connectors) { client in
        #expect(client.executor.eventLoop.inEventLoop)
        _ = try await Self.echo(client, "a")
        #expect(client.executor.eventLoop.inEventLoop)
        await withTaskGroup(of: Void.self) { group in
          group.addTask { #expect(client.executor.eventLoop.inEventLoop) }
        }
      }
    }
  }

  @Test("the scoped client's connection is closed behind its body, also when that throws")
  func scoped() async throws {
    try await serving { address in
      let closed = Mutex(0)
      let configuration = TTRPCClient.Configuration { _ in closed.withLock { $0 += 1 } }
      let kept = try await withTTRPCClient(
        to: address, using: connectors, configuration: configuration
      ) { $0 }
      #expect(!kept.isConnected)
      await #expect(throws: CancellationError.self) {
        try await withTTRPCClient(to: address, using: connectors, configuration: configuration) {
          _ in throw CancellationError()
        }
      }
      #expect(closed.withLock { $0 } == 2)
    }
  }

  @Test("both ends know each other's process")
  func identity() async throws {
    try await serving { address in
      let client = try await TTRPCClient.connect(to: address, using: connectors)
      #expect(client.peer.unix?.pid == getpid())
      #expect(client.address == address)
      #expect(!client.timings.isEmpty)
      let answer = try await client.unary(
        RPCMethod(service: "t.S", name: "Peer"), Text(), returning: Text.self, options: .init())
      #expect(answer.value == "\(getpid())")
      await client.close()
    }
  }

  @Test("messages of every size come back whole, many at a time")
  func sizes() async throws {
    try await serving { address in
      let client = try await TTRPCClient.connect(to: address, using: connectors)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for size in [0, 1, 1_000, 16_383, 16_384, 65_536, 1 << 20, 3 << 20, (4 << 20) - 100] {
          for letter in ["a", "b"] {
            group.addTask {
              let text = String(repeating: letter, count: size)
              let answer = try await Self.echo(client, text)
              #expect(answer == text)
            }
          }
        }
        try await group.waitForAll()
      }
      await client.close()
    }
  }

  @Test("when the server goes, every call under way fails once")
  func serverGoes() async throws {
    let ended = Tally()
    try await serving { address in
      let client = try await TTRPCClient.connect(to: address, using: connectors)
      for _ in 0..<1_000 {
        Task { await ended.note(await Self.hang(client)) }
      }
      try await eventually { await client.pendingCalls == 1_000 }
    }
    try await eventually { await ended.count == 1_000 }
    #expect(Set(await ended.notes) == ["connectionClosed"])
  }

  /// Makes a call that is never answered, and says why it ended.
  private static func hang(_ client: TTRPCClient) async -> String {
    do {
      _ = try await client.unary(
        RPCMethod(service: "t.S", name: "Hang"), Text(), returning: Text.self, options: .init())
      return "an answer"
    } catch {
      return "\(error.reason)"
    }
  }

  @Test("an address without a connector, or with nobody there, is the transport's error")
  func noConnection() async throws {
    let nobody = TransportAddress(place: .abstract(name: "hawsepipe-nobody-\(getpid())"))
    let refused = await #expect(throws: TransportError.self) {
      try await TTRPCClient.connect(to: nobody, using: connectors)
    }
    #expect(refused?.code == .connectFailed)
    let unknown = await #expect(throws: TransportError.self) {
      try await withTTRPCClient(to: nobody, using: TransportRegistry()) { _ in }
    }
    #expect(unknown?.code == .noConnector)
  }
}
