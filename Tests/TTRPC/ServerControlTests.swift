import Glibc
import NIOCore
import RPCCore
import SwiftProtobuf
import Testing
import TransportCore
import UnixTransport

@testable import TTRPC

@Suite("How a server ends", .timeLimit(.minutes(5)))
struct ServerControlTests {
  static let wait = RPCMethod(service: "t.S", name: "Wait")
  static let echo = RPCMethod(service: "t.S", name: "Echo")
  private let connectors = TransportRegistry([UnixConnector()])

  /// A server whose Wait answers when the gate opens, on a listener of its own.
  private final class Running: Sendable {
    let control = RPCServerControl()
    let gate = Gate()
    let address: TransportAddress
    private let task: Task<Void, any Error>

    init(_ configuration: TTRPCServer.Configuration = .init()) throws {
      let name = "hawsepipe-control-\(getpid())-\(UInt64.random(in: 0 ... .max))"
      address = TransportAddress(place: .abstract(name: name))
      let listener = try UnixListener(bindingTo: address)
      var server = TTRPCServer(configuration: configuration)
      server.register(ServerControlTests.echo) { (text: Text, _) in text }
      server.register(ServerControlTests.wait) { [gate] (text: Text, _) in
        await gate.wait()
        return text
      }
      server.registerBidirectional(RPCMethod(service: "t.S", name: "Stream")) {
        (texts: RPCReader<Text>, out: RPCWriter<Text>, _) in
        for try await text in texts { try await out.send(text) }
      }
      task = Task { [server, control] in try await server.run(on: listener, control: control) }
    }

    func ended() async throws { try await task.value }
  }

  private func call(
    _ client: TTRPCClient, _ method: RPCMethod, _ value: String = "a"
  ) async throws -> String {
    try await client.unary(
      method, Text.with { $0.value = value }, returning: Text.self, options: .init()
    ).value
  }

  @Test("TestServerShutdown: calls under way finish, idle connections go at once")
  func shutdown() async throws {
    let server = try Running()
    let busy = try await TTRPCClient.connect(to: server.address, using: connectors)
    let idle = try await TTRPCClient.connect(to: server.address, using: connectors)
    #expect(try await call(idle, Self.echo) == "a")
    let calls = (0..<5).map { index in Task { try await call(busy, Self.wait, "\(index)") } }
    try await eventually { server.control.calls == 5 }
    #expect(server.control.connections == 2)
    let shutdown = Task { await server.control.shutDown(within: .seconds(600)) }
    await idle.waitUntilClosed()
    // Who comes meanwhile is told so, or finds nobody.
    let refused = try await failure { try await call(busy, Self.echo) }
    #expect(refused.code == .unavailable && refused.reason == .status)
    await #expect(throws: TransportError.self) {
      try await TTRPCClient.connect(to: server.address, using: connectors)
    }
    await server.gate.open()
    for (index, task) in calls.enumerated() { #expect(try await task.value == "\(index)") }
    await shutdown.value
    try await server.ended()
    await busy.waitUntilClosed()
    #expect(server.control.connections == 0)
    #expect(server.control.calls == 0)
  }

  @Test("what does not finish within the limit is ended")
  func limit() async throws {
    let server = try Running()
    let client = try await TTRPCClient.connect(to: server.address, using: connectors)
    let hanging = Task { try await failure { try await call(client, Self.wait) } }
    try await eventually { server.control.calls == 1 }
    await server.control.shutDown(within: .milliseconds(50))
    #expect(try await hanging.value.reason == .connectionClosed)
    try await server.ended()
    await server.gate.open()
  }

  @Test("cancelling the task that shuts down ends it at once")
  func cancelledShutdown() async throws {
    let server = try Running()
    let client = try await TTRPCClient.connect(to: server.address, using: connectors)
    let hanging = Task { try await failure { try await call(client, Self.wait) } }
    try await eventually { server.control.calls == 1 }
    let shutdown = Task { await server.control.shutDown(within: .seconds(600)) }
    shutdown.cancel()
    await shutdown.value
    #expect(try await hanging.value.reason == .connectionClosed)
    try await server.ended()
    await server.gate.open()
  }

  @Test("TestServerClose: the run returns, and nothing is left")
  func close() async throws {
    let server = try Running()
    let client = try await TTRPCClient.connect(to: server.address, using: connectors)
    #expect(try await call(client, Self.echo) == "a")
    server.control.close()
    try await server.ended()
    await client.waitUntilClosed()
    #expect(server.control.connections == 0)
    // Doing so again does nothing.
    server.control.close()
    await server.control.shutDown(within: .seconds(600))
  }

  @Test("TestImmediateServerShutdown: a run that begins after the end returns at once")
  func immediate() async throws {
    for isClosed in [true, false] {
      let name = "hawsepipe-control-\(getpid())-\(UInt64.random(in: 0 ... .max))"
      let address = TransportAddress(place: .abstract(name: name))
      let listener = try UnixListener(bindingTo: address)
      let control = RPCServerControl()
      if isClosed { control.close() } else { await control.shutDown(within: .seconds(600)) }
      try await TTRPCServer().run(on: listener, control: control)
      await #expect(throws: TransportError.self) {
        try await TTRPCClient.connect(to: address, using: connectors)
      }
    }
  }

  @Test("TestServerListenerClosed: a listener that cannot run is the run's error")
  func listenerClosed() async throws {
    let name = "hawsepipe-control-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    let listener = try UnixListener(
      bindingTo: TransportAddress(place: .abstract(name: name)))
    listener.close()
    let error = await #expect(throws: TransportError.self) {
      try await TTRPCServer().run(on: listener)
    }
    #expect(error?.code == .listenFailed)
  }

  @Test("an end at any moment of a run's beginning ends it", arguments: 0..<20)
  func race(_ turn: Int) async throws {
    let server = try Running()
    for _ in 0..<turn { await Task.yield() }
    if turn % 2 == 0 {
      server.control.close()
    } else {
      await server.control.shutDown(within: .seconds(600))
    }
    try await server.ended()
    await server.gate.open()
  }

  @Test("TestServerConnectionsLeak: a connection that its client closed is forgotten")
  func leak() async throws {
    let server = try Running()
    for _ in 0..<5 {
      let client = try await TTRPCClient.connect(to: server.address, using: connectors)
      #expect(try await call(client, Self.echo) == "a")
      #expect(server.control.connections >= 1)
      await client.close()
    }
    try await eventually { server.control.connections == 0 }
    server.control.close()
    try await server.ended()
  }

  @Test("TestClientEOF: a call after the server's end is the connection's error")
  func clientEOF() async throws {
    let server = try Running()
    let client = try await TTRPCClient.connect(to: server.address, using: connectors)
    server.control.close()
    await client.waitUntilClosed()
    #expect(try await failure { try await call(client, Self.echo) }.reason == .connectionClosed)
    try await server.ended()
  }

  @Test("streams that end in time are not cut, and count as calls")
  func streams() async throws {
    let server = try Running()
    let client = try await TTRPCClient.connect(to: server.address, using: connectors)
    let stream = try await client.bidirectional(
      RPCMethod(service: "t.S", name: "Stream"), sending: Text.self, returning: Text.self,
      options: .init())
    try await eventually { server.control.calls == 1 }
    let shutdown = Task { await server.control.shutDown(within: .seconds(600)) }
    for index in 0..<100 {
      try await stream.send(Text.with { $0.value = "\(index)" })
      #expect(try await stream.responses.next()?.value == "\(index)")
    }
    try await stream.finishSending()
    #expect(try await stream.responses.next() == nil)
    await shutdown.value
    try await server.ended()
  }

  @Test("one connection more than there may be is closed; when another has gone there is room")
  func connectionLimit() async throws {
    let server = try Running(.init(maximumConnections: 2))
    var clients: [TTRPCClient] = []
    for _ in 0..<2 {
      let client = try await TTRPCClient.connect(to: server.address, using: connectors)
      #expect(try await call(client, Self.echo) == "a")
      clients.append(client)
    }
    let third = try await TTRPCClient.connect(to: server.address, using: connectors)
    #expect(try await failure { try await call(third, Self.echo) }.reason == .connectionClosed)
    #expect(try await call(clients[0], Self.echo) == "a")
    await clients[0].close()
    try await eventually { server.control.connections == 1 }
    let fourth = try await TTRPCClient.connect(to: server.address, using: connectors)
    #expect(try await call(fourth, Self.echo) == "a")
    server.control.close()
    try await server.ended()
  }

  @Test("answers that the network has not taken yet are taken before the connection is closed")
  func flushedBeforeClose() async throws {
    let control = RPCServerControl()
    var server = TTRPCServer()
    let gate = Gate()
    server.register(Self.wait) { (text: Text, _) in
      await gate.wait()
      return text
    }
    let (peer, _) = try await RawPeer.pair { [server] in try server.configure($0, control: control)
    }
    try await peer.channel.setOption(.autoRead, value: false).get()
    let large =
      try Text.with { $0.value = String(repeating: "x", count: 3 << 20) }
      .serializedBytes() as [UInt8]
    try await peer.write(frame(1, 1, request("t.S", "Wait", large)))
    try await eventually { control.calls == 1 }
    let shutdown = Task { await control.shutDown(within: .seconds(600)) }
    await gate.open()
    try await eventually { control.calls == 0 }
    #expect(control.connections == 1)
    try await peer.channel.setOption(.autoRead, value: true).get()
    #expect(try await peer.response().1.payload.readableBytes == large.count)
    await shutdown.value
    #expect(await peer.frame() == nil)
  }
}
