#if GRPC
  import GRPCCore
  import GRPCTransport
  import NIOCore
  import RPCCore
  import SwiftProtobuf
  import Testing
  import TransportCore
  import UnixTransport

  @Suite("A gRPC client that redials", .timeLimit(.minutes(3)))
  struct GRPCRedialTests {
    private let connectors = TransportRegistry([UnixConnector()])

    /// Serves at an address until it is stopped.
    private struct Running {
      let task: Task<Void, any Error>
      let control: RPCServerControl

      init(at address: TransportAddress) throws {
        let listener = try UnixListener(bindingTo: address)
        let control = RPCServerControl()
        self.control = control
        task = Task { try await Echo.server().run(on: listener, control: control) }
      }

      /// At once, with everything under way.
      func kill() async throws {
        control.close()
        try await task.value
      }
    }

    private func quickly(
      waits: Bool = true, most: Int = 1024
    ) -> GRPCRedialingClient.Configuration {
      .init(
        redialing: .init(
          backoff: .init(first: .milliseconds(5), most: .milliseconds(50)),
          maximumWaitingCalls: most),
        waitsUntilReady: waits)
    }

    @Test("calls find the server again after each of its restarts")
    func restarts() async throws {
      let address = someAbstractAddress()
      let client = GRPCRedialingClient(to: address, using: connectors, configuration: quickly())
      for round in 0..<5 {
        let server = try Running(at: address)
        let answer = try await client.echo("\(round)")
        #expect(answer == "\(round)")
        try await server.kill()
        // A call may still go out, and be lost, before the loss is known.
        while client.isConnected { try await Task.sleep(for: .milliseconds(1)) }
      }
      await client.close()
      let late = await #expect(throws: RPCCore.RPCError.self) { try await client.echo("x") }
      #expect(late?.reason == .connectionClosed)
    }

    @Test("calls wait for a server that is not there yet, no longer than their timeout")
    func waiting() async throws {
      let address = someAbstractAddress()
      let client = GRPCRedialingClient(to: address, using: connectors, configuration: quickly())
      let short = await #expect(throws: RPCCore.RPCError.self) {
        try await client.echo("x", timeout: .milliseconds(60))
      }
      #expect(short?.code == .deadlineExceeded)
      async let early = client.echo("early")
      try await Task.sleep(for: .milliseconds(60))
      let server = try Running(at: address)
      #expect(try await early == "early")
      await client.close()
      try await server.kill()
    }

    @Test("without waiting, a dial that failed is the answer, and says why")
    func hasty() async throws {
      let client = GRPCRedialingClient(
        to: someAbstractAddress(), using: connectors, configuration: quickly(waits: false))
      let error = await #expect(throws: RPCCore.RPCError.self) { try await client.echo("x") }
      #expect(error?.code == .unavailable && error?.reason == .connectionClosed)
      #expect(error?.description.contains("ECONNREFUSED") == true, "\(String(describing: error))")
    }

    @Test("no more calls wait than may")
    func queue() async throws {
      let client = GRPCRedialingClient(
        to: someAbstractAddress(), using: connectors, configuration: quickly(most: 3))
      let codes = await withTaskGroup(of: RPCCode?.self) { group in
        for _ in 0..<5 {
          group.addTask {
            do throws(RPCCore.RPCError) {
              _ = try await client.echo("x", timeout: .milliseconds(300))
              return nil
            } catch {
              return error.code
            }
          }
        }
        return await group.reduce(into: [RPCCode?]()) { $0.append($1) }
      }
      #expect(codes.count { $0 == .resourceExhausted } == 2)
      #expect(codes.count { $0 == .deadlineExceeded } == 3)
      await client.close()
    }

    @Test("a server killed again and again under load: each call ends once, and nothing is left")
    func load() async throws {
      let address = someAbstractAddress()
      let client = GRPCRedialingClient(to: address, using: connectors, configuration: quickly())
      let isOver = Kept<Void>()
      let (answered, failed) = (Counter(), Counter())
      try await withThrowingTaskGroup(of: Void.self) { group in
        for worker in 0..<8 {
          group.addTask {
            var number = 0
            while isOver.values.isEmpty {
              number += 1
              do throws(RPCCore.RPCError) {
                let answer = try await client.echo("\(worker) \(number)", timeout: .seconds(30))
                #expect(answer == "\(worker) \(number)")
                answered.add()
              } catch {
                #expect(error.reason == .connectionClosed, "\(error)")
                failed.add()
              }
            }
          }
        }
        for _ in 0..<12 {
          let server = try Running(at: address)
          let before = answered.value
          while answered.value < before + 20 { try await Task.sleep(for: .milliseconds(5)) }
          try await server.kill()
          #expect(server.control.connections == 0 && server.control.calls == 0)
        }
        let last = try Running(at: address)
        isOver.append(())
        try await group.waitForAll()
        await client.close()
        try await last.kill()
      }
      #expect(answered.value >= 240)
    }

    @Test("grpc-swift's own client finds the server again")
    func grpcSwift() async throws {
      let address = someAbstractAddress()
      let transport = ConnectorClientTransport(
        to: address, using: connectors,
        configuration: .init(
          redialing: .init(backoff: .init(first: .milliseconds(5), most: .milliseconds(50)))))
      try await withGRPCClient(transport: transport) { client in
        for round in 0..<3 {
          async let answer = client.unary(
            request: ClientRequest(message: Array("\(round)".utf8)),
            descriptor: MethodDescriptor(fullyQualifiedService: "t.Raw", method: "Echo"),
            serializer: Raw(), deserializer: Raw(), options: .defaults
          ) { try $0.message }
          try await Task.sleep(for: .milliseconds(20))
          let listener = try UnixListener(bindingTo: address)
          let control = RPCServerControl()
          var server = GRPCListenerServer()
          server.register(RPCMethod(service: "t.Raw", name: "Echo"), execution: .pool) {
            payload, _ in payload
          }
          let running = Task { [server] in try await server.run(on: listener, control: control) }
          #expect(try await answer == Array("\(round)".utf8))
          control.close()
          try await running.value
          while transport.isConnected { try await Task.sleep(for: .milliseconds(1)) }
        }
      }
    }

    private struct Raw: MessageSerializer, MessageDeserializer {
      func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes {
        Bytes(message)
      }

      func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] {
        bytes.withUnsafeBytes { Array($0) }
      }
    }
  }
#endif
