#if GRPC
  import GRPCTransport
  import NIOCore
  import RPCCore
  import SwiftProtobuf
  import Testing
  import TransportCore
  import UnixTransport

  @Suite("How gRPC calls end", .timeLimit(.minutes(2)))
  struct GRPCCallEndingTests {
    private let connectors = TransportRegistry([UnixConnector()])

    private func connected(
      _ configuration: GRPCListenerServer.Configuration = .init(),
      _ client: GRPCConnection.Configuration = .init(),
      control: RPCServerControl = RPCServerControl(),
      _ body: @escaping @Sendable (GRPCConnection) async throws -> Void
    ) async throws {
      let connectors = connectors
      try await serving(
        Echo.server(configuration), on: try UnixListener(bindingTo: someAbstractAddress()),
        control: control
      ) { address in
        let connection = try await GRPCConnection.connect(
          to: address, using: connectors, configuration: client)
        try await body(connection)
        await connection.close()
      }
    }

    private func failure(
      _ client: some RPCCaller, _ method: RPCMethod, _ options: RPCCallOptions = .init()
    ) async -> RPCError? {
      do throws(RPCError) {
        _ = try await client.unary(method, Text("x"), returning: Text.self, options: options)
        return nil
      } catch {
        return error
      }
    }

    @Test("a timeout travels, and ends the call on this side")
    func timeout() async throws {
      try await connected { client in
        let told = try await client.unary(
          Echo.timeout, Text(), returning: Text.self,
          options: RPCCallOptions(timeout: .seconds(30)))
        #expect(told.value == "\(Duration.seconds(30))")
        let error = await failure(
          client, Echo.hang, RPCCallOptions(timeout: .milliseconds(50)))
        #expect(error?.code == .deadlineExceeded)
        #expect(client.isConnected)
      }
    }

    @Test("a cancelled task ends its call here and the handler there")
    func cancellation() async throws {
      let control = RPCServerControl()
      try await connected(control: control) { client in
        let call = Task { await failure(client, Echo.hang) }
        while control.calls == 0 { try await Task.sleep(for: .milliseconds(2)) }
        call.cancel()
        #expect(await call.value?.reason == .cancelled)
        while control.calls > 0 { try await Task.sleep(for: .milliseconds(2)) }
      }
    }

    @Test("an unknown method and an unknown service are Unimplemented, in Go's words")
    func unknown() async throws {
      try await connected { client in
        let method = await failure(client, RPCMethod(service: Echo.service, name: "No"))
        #expect(method?.code == .unimplemented && method?.reason == .status)
        #expect(method?.message == "unknown method No for service t.Echo")
        let service = await failure(client, RPCMethod(service: "t.No", name: "No"))
        #expect(service?.message == "unknown service t.No")
      }
    }

    @Test("a lost connection fails every call once, and onClose comes behind them")
    func lostConnection() async throws {
      let failed = Counter()
      let closed = Kept<(Int, RPCError?)>()
      let control = RPCServerControl()
      let client = GRPCConnection.Configuration { error in
        closed.append((failed.value, error))
      }
      try await connected(.init(), client, control: control) { client in
        await withTaskGroup(of: Void.self) { group in
          for _ in 0..<20 {
            group.addTask {
              let error = await failure(client, Echo.hang)
              #expect(error?.code == .unavailable && error?.reason == .connectionClosed)
              failed.add()
            }
          }
          while control.calls < 20 { try? await Task.sleep(for: .milliseconds(2)) }
          control.close()
        }
        await client.waitUntilClosed()
        #expect(!client.isConnected)
        let late = await failure(client, Echo.unary)
        #expect(late?.reason == .connectionClosed)
      }
      #expect(closed.values.count == 1)
      #expect(closed.values.first?.1?.reason == .connectionClosed)
    }

    @Test("a connection that this side closes tells no error")
    func closedHere() async throws {
      let closed = Kept<RPCError?>()
      let client = GRPCConnection.Configuration { error in closed.append(error) }
      try await connected(.init(), client) { client in
        _ = try await client.echo("x")
        await client.close()
      }
      #expect(closed.values.count == 1 && closed.values[0] == nil)
    }

    @Test("graceful shutdown lets a call finish, takes no other, and closes idle connections")
    func graceful() async throws {
      let control = RPCServerControl()
      try await connected(control: control) { client in
        let chat = try await client.bidirectional(
          Echo.chat, sending: Text.self, returning: Text.self, options: .init())
        try await chat.send(Text("1"))
        #expect(try await chat.responses.next()?.value == "1")
        async let down: Void = control.shutDown(within: .seconds(60))
        while client.isConnected { try await Task.sleep(for: .milliseconds(2)) }
        let refused = await failure(client, Echo.unary)
        #expect(refused?.reason == .connectionClosed)
        try await chat.send(Text("2"))
        #expect(try await chat.responses.next()?.value == "2")
        try await chat.finishSending()
        #expect(try await chat.responses.next() == nil)
        await down
        #expect(control.connections == 0)
      }
    }

    @Test("what outlasts a graceful shutdown's limit is ended")
    func limit() async throws {
      let control = RPCServerControl()
      try await connected(control: control) { client in
        async let hanging = failure(client, Echo.hang)
        while control.calls == 0 { try await Task.sleep(for: .milliseconds(2)) }
        await control.shutDown(within: .milliseconds(50))
        #expect(await hanging?.reason == .connectionClosed)
      }
    }

    @Test("a message far beyond the server's limit ends its call, and nothing else")
    func farOversize() async throws {
      try await connected(.init(maximumMessageBytes: 1000)) { client in
        let text = String(repeating: "x", count: 6 << 20)
        let there = await failure(
          client, Echo.unary, RPCCallOptions(timeout: .seconds(60)), text)
        #expect(there != nil)
        _ = try await client.echo("on")
      }
    }

    @Test("messages beyond the limits are ResourceExhausted on the side that has the limit")
    func oversize() async throws {
      try await connected(
        .init(maximumMessageBytes: 1000), .init(options: .init(maximumMessageBytes: 2000))
      ) { client in
        let text = String(repeating: "x", count: 1500)
        let there = await failure(
          client, Echo.unary, RPCCallOptions(timeout: .seconds(60)), text)
        #expect(there?.code == .resourceExhausted && there?.reason == .status)
        let here = await failure(
          client, Echo.unary, RPCCallOptions(timeout: .seconds(60)), text + text)
        #expect(here?.code == .resourceExhausted && here?.reason == .oversize)
        #expect(client.isConnected)
      }
    }

    private func failure(
      _ client: some RPCCaller, _ method: RPCMethod, _ options: RPCCallOptions, _ text: String
    ) async -> RPCError? {
      do throws(RPCError) {
        _ = try await client.unary(method, Text(text), returning: Text.self, options: options)
        return nil
      } catch {
        return error
      }
    }

    @Test("one connection more than the limit is hung up on")
    func connectionLimit() async throws {
      let connectors = connectors
      try await connected(.init(maximumConnections: 1)) { client in
        await #expect(throws: TransportError.self) {
          try await GRPCConnection.connect(to: client.address, using: connectors)
        }
        _ = try await client.echo("on")
      }
    }

    @Test(
      "metadata that a header cannot carry, or that is the protocol's own, is refused here",
      arguments: [
        ("grpc-timeout", "1S"), (":path", "/x"), ("te", "x"), ("a b", "x"), ("k", "a\nb"),
      ])
    func metadata(_ key: String, _ value: String) async throws {
      try await connected { client in
        let error = await failure(client, Echo.unary, .init(metadata: [key: value]))
        #expect(error?.code == .invalidArgument)
        let own = try await client.unary(
          Echo.metadata, Text("mine"), returning: Text.self,
          options: .init(metadata: ["mine": "a", "Mine": "b"]))
        #expect(own.value == "a|b")
      }
    }

    @Test("a stream is cancelled with its last reference, and a waiting reader without its stream")
    func streamCancellation() async throws {
      let control = RPCServerControl()
      try await connected(control: control) { client in
        do {
          let chat = try await client.bidirectional(
            Echo.chat, sending: Text.self, returning: Text.self, options: .init())
          let reading = Task { () async -> RPCError.Reason? in
            do throws(RPCError) {
              _ = try await chat.responses.next()
              return nil
            } catch {
              return error.reason
            }
          }
          try await chat.send(Text("a"))
          #expect(await reading.value == nil)
          let waiting = Task { () async -> RPCError.Reason? in
            do throws(RPCError) {
              _ = try await chat.responses.next()
              return nil
            } catch {
              return error.reason
            }
          }
          waiting.cancel()
          #expect(await waiting.value == .cancelled)
          try await chat.send(Text("b"))
          #expect(try await chat.responses.next()?.value == "b")
        }
        while control.calls > 0 { try await Task.sleep(for: .milliseconds(2)) }
      }
    }

    @Test("a server stream that fails gives what it has sent, and then its error")
    func streamFailure() async throws {
      try await connected { client in
        let parts = try await client.serverStreaming(
          Echo.split, Text("a b fail c"), returning: Text.self, options: .init())
        #expect(try await parts.next()?.value == "a")
        #expect(try await parts.next()?.value == "b")
        let error = await #expect(throws: RPCError.self) { try await parts.next() }
        #expect(error?.code == .aborted && error?.message == "asked to")
      }
    }
  }
#endif
