#if GRPC
  import NIOCore
  import NIOEmbedded
  import Testing

  @testable import GRPCTransport

  @Suite("A server that leaves")
  struct DrainHandlerTests {
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    private static let headers: [UInt8] = [0, 0, 1, 1, 5, 0, 0, 0, 1, 0x83]
    private static func ping(_ text: String, flags: UInt8 = 1) -> [UInt8] {
      [0, 0, 8, 6, flags, 0, 0, 0, 0] + Array(text.utf8)
    }

    /// What the library would see, in its order.
    private final class Recorder: ChannelInboundHandler {
      typealias InboundIn = ByteBuffer
      var seen: [String] = []

      func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        seen.append("\(unwrapInboundIn(data).readableBytes) bytes")
      }

      func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent { seen.append("leave") }
      }
    }

    private struct Fixture {
      let channel = EmbeddedChannel()
      let recorder = Recorder()

      init() throws {
        try channel.pipeline.syncOperations.addHandlers([DrainHandler(), recorder])
        try channel.connect(to: SocketAddress(unixDomainSocketPath: "/x")).wait()
      }

      func read(_ bytes: [UInt8], inPiecesOf size: Int = .max) throws {
        for start in stride(from: 0, to: bytes.count, by: min(size, bytes.count)) {
          let end = min(start + min(size, bytes.count), bytes.count)
          try channel.writeInbound(ByteBuffer(bytes: bytes[start..<end]))
        }
      }

      func leave() { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
      func written() throws -> [UInt8]? {
        try channel.readOutbound(as: ByteBuffer.self).map { Array($0.readableBytesView) }
      }
    }

    @Test(
      "says so, and leaves behind what the client began before it heard of it", arguments: 1...12)
    func order(_ size: Int) throws {
      let fixture = try Fixture()
      try fixture.read(Self.preface + Self.ping("another?") + Self.headers, inPiecesOf: size)
      fixture.recorder.seen = []
      fixture.leave()
      // GOAWAY: the last stream that there could be, no error. PING.
      #expect(
        try fixture.written()
          == [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]
          + Self.ping("leaving?", flags: 0))
      fixture.leave()
      // Calls that it had begun; a ping of its own with the same text; another's answer.
      try fixture.read(
        Self.headers + Self.ping("leaving?", flags: 0) + Self.ping("leaving!"), inPiecesOf: size)
      #expect(!fixture.recorder.seen.contains("leave"))
      try fixture.read(Self.ping("leaving?"), inPiecesOf: size)
      #expect(fixture.recorder.seen.last == "leave")
      try fixture.read(Self.headers)
      fixture.leave()
      #expect(fixture.recorder.seen.count { $0 == "leave" } == 1)
      #expect(try fixture.written() == nil)
      _ = try fixture.channel.finish()
    }

    @Test("waits for a client that does not answer for a while only")
    func mute() throws {
      let fixture = try Fixture()
      try fixture.read(Self.preface)
      fixture.leave()
      fixture.channel.embeddedEventLoop.advanceTime(by: DrainHandler.patience - .milliseconds(1))
      #expect(!fixture.recorder.seen.contains("leave"))
      fixture.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
      #expect(fixture.recorder.seen.last == "leave")
      try fixture.read(Self.ping("leaving?"))
      #expect(fixture.recorder.seen.count { $0 == "leave" } == 1)
      _ = try fixture.channel.finish()
    }

    @Test("does not wait for one that has not begun")
    func notBegun() throws {
      let fixture = try Fixture()
      try fixture.read(Array(Self.preface.dropLast()))
      fixture.leave()
      #expect(fixture.recorder.seen.last == "leave")
      #expect(try fixture.written() == nil)
      _ = try fixture.channel.finish()
    }
  }
#endif
