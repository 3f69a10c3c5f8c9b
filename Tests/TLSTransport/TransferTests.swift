import NIOCore
import Synchronization
import TLSTransport
import Testing
import TransportCore

@Suite struct TransferTests {
  @Test(
    "Every byte arrives, whatever the size of a write",
    arguments: [0, 1, 16383, 16384, 16385, 262_145, 16 << 20])
  func sizes(_ count: Int) async throws {
    let pki = try TestPKI()
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    try await withServer(pki, pki.server()) { _ in
      let connection = try await connect(pki, pki.client())
      let channel = connection.connection.channel
      async let written: Void = channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
      expectSame(await connection.read(count), bytes)
      try await written
      await connection.close()
    }
  }

  @Test("Many small writes under one flush arrive in order, and each is told of its end")
  func small() async throws {
    let pki = try TestPKI()
    try await withServer(pki, pki.server()) { _ in
      let connection = try await connect(pki, pki.client())
      let channel = connection.connection.channel
      let ended = Mutex(0)
      let futures = (0..<5000).map { index in
        let future = channel.write(
          ByteBuffer(repeating: UInt8(truncatingIfNeeded: index), count: index % 40))
        future.whenSuccess { ended.withLock { $0 += 1 } }
        return future
      }
      channel.flush()
      for future in futures { try await future.get() }
      #expect(ended.withLock { $0 } == 5000)
      let expected = (0..<5000).flatMap {
        [UInt8](repeating: UInt8(truncatingIfNeeded: $0), count: $0 % 40)
      }
      expectSame(await connection.read(expected.count), expected)
      await connection.close()
    }
  }

  @Test("A reader that does not read holds the writer up, in bounded memory")
  func slowReader() async throws {
    let pki = try TestPKI()
    let chunk = ByteBuffer(repeating: 3, count: 64 << 10)
    let (servers, sink) = AsyncStream<Connection>.makeStream()
    try await withServer(
      pki, pki.server(),
      serve: { connection in
        sink.yield(connection)
        await connection.closed()
      },
      handlers: { [CountingHandler()] }
    ) { _ in
      let connection = try await connect(pki, pki.client())
      let channel = connection.connection.channel
      var iterator = servers.makeAsyncIterator()
      let server = try #require(await iterator.next()).channel
      try await server.setOption(.autoRead, value: false).get()
      var written = 0
      while channel.isWritable {
        channel.writeAndFlush(chunk, promise: nil)
        written += chunk.readableBytes
        // Later than what the loop has to do: it takes what the socket takes.
        try await channel.eventLoop.submit {}.get()
        #expect(written < 64 << 20, "the writer is never held up")
        if written >= 64 << 20 { break }
      }
      try await server.setOption(.autoRead, value: true).get()
      let total = written
      try await eventually("all of it arrives") {
        try await server.pipeline.handler(type: CountingHandler.self).map { $0.count == total }
          .get()
      }
      await connection.close()
    }
  }
}

private final class CountingHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private(set) var count = 0

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    count += unwrapInboundIn(data).readableBytes
  }
}
