#if GRPC
  import GRPCTransport
  import NIOCore
  import RPCCore
  import TCPTransport
  import Testing
  import TransportCore

  @Suite("A gRPC client and peers that speak something else", .timeLimit(.minutes(2)))
  struct GRPCStrangerTests {
    struct Row: Sendable, CustomTestStringConvertible {
      var name: String
      var greeting: [UInt8] = []
      var answer: [UInt8] = []
      var closes = false
      var says: String
      var testDescription: String { name }
    }

    static let rows: [Row] = [
      Row(
        name: "a ttrpc response",
        answer: [0, 0, 0, 4, 0, 0, 0, 1, 2, 0, 10, 2, 8, 13], says: "speaks ttrpc"),
      Row(
        name: "HTTP/1",
        answer: Array("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".utf8),
        closes: true, says: "speaks HTTP/1"),
      Row(
        name: "a TLS alert", answer: [0x15, 3, 3, 0, 2, 2, 40], closes: true, says: "speaks TLS"),
      Row(
        name: "ssh", greeting: Array("SSH-2.0-OpenSSH_9.2\r\n".utf8), says: "no HTTP/2 SETTINGS"),
      Row(name: "hanging up", closes: true, says: "without a word of HTTP/2"),
      Row(name: "silence", says: "sent no HTTP/2 SETTINGS within"),
    ]

    @Test("each is an error that says what the peer looks like", arguments: rows)
    func stranger(_ row: Row) async throws {
      let server = try await ScriptedServer.start(
        greeting: row.greeting, answer: row.answer, closes: row.closes)
      let address = server.address
      let error = await #expect(throws: TransportError.self) {
        try await GRPCConnection.connect(
          to: address, using: TransportRegistry([TCPConnector()]),
          configuration: .init(options: GRPCClientOptions(handshakeLimit: .milliseconds(300))))
      }
      #expect(error?.message.contains(row.says) == true, "\(String(describing: error))")
      #expect(error?.attempts.last?.failure.phase == .handshake)
      try await server.stop()
    }

    @Test("the probe says the same", arguments: rows.dropLast())
    func probe(_ row: Row) async throws {
      let server = try await ScriptedServer.start(
        greeting: row.greeting, answer: row.answer, closes: row.closes)
      let address = server.address
      let error = await #expect(throws: TransportError.self) {
        try await TransportRegistry([TCPConnector()]).waitUntilReady(
          at: address, probe: .grpcSettings, options: ConnectOptions())
      }
      #expect(
        error?.attempts.last?.failure.message.contains(row.says) == true,
        "\(String(describing: error))")
      try await server.stop()
    }
  }
#endif
