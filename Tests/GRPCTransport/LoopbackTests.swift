#if GRPC
  import Glibc
  import GRPCTransport
  import MemoryTransport
  import NIOCore
  import RPCCore
  import SwiftProtobuf
  import Testing
  import TransportCore
  import UnixTransport

  @Suite("gRPC client and server of ours", .timeLimit(.minutes(2)))
  struct GRPCLoopbackTests {
    enum Kind: CaseIterable { case unix, memory }

    /// Runs `body` with a connection to a server of t.Echo.
    private func connected(
      over kind: Kind = .unix, _ execution: RPCExecution = .pool,
      _ body: @escaping @Sendable (GRPCConnection) async throws -> Void
    ) async throws {
      let connectors: TransportRegistry
      let listener: any Listener
      switch kind {
      case .unix:
        connectors = TransportRegistry([UnixConnector()])
        listener = try UnixListener(bindingTo: someAbstractAddress())
      case .memory:
        let network = MemoryNetwork()
        connectors = TransportRegistry([MemoryConnector(network: network)])
        listener = try await MemoryListenerFactory(network: network).listen(
          at: TransportAddress(rpc: .grpc, place: .memory(name: "echo")), options: ListenOptions())
      }
      try await serving(Echo.server(.init(), execution), on: listener) { address in
        let connection = try await GRPCConnection.connect(to: address, using: connectors)
        try await body(connection)
        await connection.close()
      }
    }

    @Test(
      "a unary call gives its answer", arguments: Kind.allCases, [RPCExecution.pool, .eventLoop])
    func unary(_ kind: Kind, _ execution: RPCExecution) async throws {
      try await connected(over: kind, execution) { client in
        let hello = try await client.echo("hello")
        #expect(hello == "hello")
        let long = String(repeating: "x", count: 300_000)
        let answer = try await client.echo(long)
        #expect(answer == long)
      }
    }

    @Test("three hundred calls at once each get their own answer", arguments: Kind.allCases)
    func many(_ kind: Kind) async throws {
      try await connected(over: kind) { client in
        let wrong = try await withThrowingTaskGroup(of: Bool.self) { group in
          for index in 0..<300 {
            group.addTask { try await client.echo("\(index)") != "\(index)" }
          }
          return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(wrong == 0)
      }
    }

    @Test("each kind of stream carries its messages", arguments: Kind.allCases)
    func streams(_ kind: Kind) async throws {
      try await connected(over: kind) { client in
        let options = RPCCallOptions(timeout: .seconds(60))
        let join = try await client.clientStreaming(
          Echo.join, sending: Text.self, returning: Text.self, options: options)
        for part in ["a", "b", "c"] { try await join.send(Text(part)) }
        #expect(try await join.response().value == "abc")

        var parts: [String] = []
        for try await part in try await client.serverStreaming(
          Echo.split, Text("one two three"), returning: Text.self, options: options)
        { parts.append(part.value) }
        #expect(parts == ["one", "two", "three"])

        let chat = try await client.bidirectional(
          Echo.chat, sending: Text.self, returning: Text.self, options: options)
        for part in ["x", "y"] {
          try await chat.send(Text(part))
          #expect(try await chat.responses.next()?.value == part)
        }
        try await chat.finishSending()
        #expect(try await chat.responses.next() == nil)
      }
    }

    @Test("a handler's error comes with its code, its text and its details")
    func error() async throws {
      try await connected { client in
        let error = await #expect(throws: RPCError.self) {
          try await client.unary(
            Echo.fail, Text("x"), returning: Text.self, options: RPCCallOptions())
        }
        #expect(error?.code == .failedPrecondition)
        #expect(error?.message == "no: x ü")
        #expect(error?.reason == .status)
        #expect(
          error?.details == [
            RPCStatusDetail(typeURL: "type.googleapis.com/t.D", value: [1, 2, 0, 255])
          ])
        let on = try await client.echo("on")
        #expect(on == "on")
      }
    }

    @Test("a handler knows who calls")
    func peer() async throws {
      try await connected { client in
        let pid = try await client.unary(
          Echo.peer, Text(), returning: Text.self, options: RPCCallOptions())
        #expect(pid.value == "\(getpid())")
      }
    }
  }
#endif
