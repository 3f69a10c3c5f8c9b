#if GRPC
  import GRPCTransport
  import Logging
  import NIOCore
  import NIOPosix
  import RPCCore
  import TCPTransport
  import Testing
  import TransportCore

  @Suite("A gRPC server and clients that speak something else", .timeLimit(.minutes(2)))
  struct GRPCPrefaceGuardTests {
    struct Row: Sendable, CustomTestStringConvertible {
      var name: String
      var bytes: [UInt8]
      var says: String
      var testDescription: String { name }
    }

    static let rows: [Row] = [
      Row(
        name: "a ttrpc request",
        bytes: [0, 0, 0, 6, 0, 0, 0, 1, 1, 0, 10, 1, 0x61, 18, 1, 0x62], says: "speaks ttrpc"),
      Row(name: "HTTP/1", bytes: Array("GET / HTTP/1.1\r\n\r\n".utf8), says: "speaks HTTP/1"),
      Row(name: "TLS", bytes: [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc], says: "speaks TLS"),
      Row(name: "noise", bytes: [1, 2, 3], says: "does not begin"),
      Row(
        name: "half a preface", bytes: Array("PRI * HTTP".utf8), says: "no HTTP/2 preface within"),
      Row(name: "silence", bytes: [], says: "no HTTP/2 preface within"),
    ]

    @Test("each is hung up on, and the log says what it looks like", arguments: rows)
    func stranger(_ row: Row) async throws {
      let log = Kept<String>()
      let logger = Logger(label: "test") { _ in KeepingLogHandler(log) }
      let listener = try await TCPListenerFactory().listen(
        at: TransportAddress(place: .tcp(host: "127.0.0.1", port: 0)), options: ListenOptions())
      let server = Echo.server(.init(handshakeLimit: .milliseconds(200), logger: logger))
      try await serving(server, on: listener) { address in
        guard case .tcp(let host, let port) = address.place else { return }
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
          .connect(host: host, port: Int(port)).get()
        if !row.bytes.isEmpty { try await channel.writeAndFlush(ByteBuffer(bytes: row.bytes)) }
        // The server ends it; the suite's limit is for one that does not.
        try await channel.closeFuture.get()
        let client = try await GRPCConnection.connect(
          to: address, using: TransportRegistry([TCPConnector()]))
        let answer = try await client.echo("on")
        #expect(answer == "on")
        await client.close()
      }
      #expect(log.values.count == 1 && log.values[0].contains(row.says), "\(log.values)")
    }
  }

  private struct KeepingLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace
    private let kept: Kept<String>

    init(_ kept: Kept<String>) { self.kept = kept }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { kept.append("\(event.message)") }
  }
#endif
