import Logging
import NIOCore
import RPCCore
import Synchronization
import Testing

@testable import TTRPC

@Suite("A ttrpc server and clients that speak something else", .timeLimit(.minutes(2)))
struct StrangerTests {
  @Test(
    "each is hung up on, and the log says what it looks like",
    arguments: [
      (Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8), "HTTP/2, as gRPC does"),
      (Array("POST /x HTTP/1.1\r\n\r\n".utf8), "HTTP/1"),
      ([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc], "TLS"),
    ] as [([UInt8], String)])
  func hungUp(_ bytes: [UInt8], _ says: String) async throws {
    let log = Log()
    let logger = Logger(label: "test") { _ in Handler(log: log) }
    let server = TTRPCServer(configuration: .init(logger: logger))
    let (peer, channel) = try await RawPeer.pair { try server.configure($0) }
    try await peer.write(bytes)
    // The server ends it; the suite's limit is for one that does not.
    try await channel.closeFuture.get()
    #expect(
      log.lines.withLock { $0 } == ["A client was hung up on: it speaks \(says), and this is ttrpc"]
    )
  }

  @Test("a request that is cut up anyhow is a request")
  func cutUp() async throws {
    let (peer, _) = try await RawPeer.pair { try TTRPCServer().configure($0) }
    for byte in frame(1, 1, request("t.S", "None")) { try await peer.write([byte]) }
    let (id, answer) = try await peer.response()
    #expect(id == 1 && answer.code == .unimplemented)
    try await peer.close()
  }

  private final class Log: Sendable {
    let lines = Mutex<[String]>([])
  }

  private struct Handler: LogHandler {
    let log: Log
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      log.lines.withLock { $0.append("\(event.message)") }
    }
  }
}
