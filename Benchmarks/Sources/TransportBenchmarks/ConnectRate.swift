import NIOCore
import NIOPosix
import TransportCore
import UnixTransport

/// Connects and closes on a unix socket, one after the other and several at once, beside a bare
/// SwiftNIO client. Both dial the same bare SwiftNIO server, which closes what it accepts: who dials
/// faster than a server accepts only fills its backlog, and a bare SwiftNIO client fails on that.
enum ConnectRate {
  static func run() async throws {
    let servers = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let clients = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let path = "/tmp/hawsepipe-bench-\(UInt32.random(in: 0 ... .max)).sock"
    let server = try await ServerBootstrap(group: servers)
      .serverChannelOption(.backlog, value: 1024)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Closer())
        }
      }
      .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
    let address = TransportAddress(place: .unix(path: path))
    let connector = UnixConnector()
    let options = ConnectOptions(group: clients)

    for (width, count) in [(1, 4_000), (16, 8_000)] {
      let comparison = try await Comparison.run(rounds: 7) {
        try await rate(count, width) {
          let connection = try await connector.connect(to: address, options: options) { _ in }
          try await connection.channel.closeFuture.get()
        }
      } theirs: {
        try await rate(count, width) {
          let channel = try await ClientBootstrap(group: clients)
            .connect(unixDomainSocketPath: path).get()
          try await channel.closeFuture.get()
        }
      }
      print(
        comparison.line(
          "connect and close, unix, \(width) at once", unit: "a second", peer: "bare SwiftNIO",
          wanted: 0.8))
    }
    try await server.close()
    try await servers.shutdownGracefully()
    try await clients.shutdownGracefully()
  }

  private static func rate(
    _ count: Int, _ width: Int, _ once: @escaping @Sendable () async throws -> Void
  ) async throws -> Double {
    let began = ContinuousClock.now
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<width {
        group.addTask { for _ in 0..<(count / width) { try await once() } }
      }
      try await group.waitForAll()
    }
    return Double(count) / (ContinuousClock.now - began).inSeconds
  }
}

/// Closes a connection as soon as there is one.
private final class Closer: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  func channelActive(context: ChannelHandlerContext) { context.close(promise: nil) }
}
