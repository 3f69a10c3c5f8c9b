import NIOCore
import NIOPosix
import TLSTransport
import Testing
import TransportCore
import UnixTransport

@Suite struct ClosingTests {
  /// Ends a connection's network without TLS's knowledge, as somebody on the way could.
  private static func cut(_ connection: Connection) {
    // The pipeline's head is below TLS.
    connection.channel.eventLoop.execute {
      connection.channel._channelCore.close0(
        error: ChannelError.eof, mode: .all, promise: nil)
    }
  }

  @Test(
    "A server's clean end and a cut are told apart", arguments: TLSIdentity.Version.allCases,
    [true, false])
  func ends(_ version: TLSIdentity.Version, isCut: Bool) async throws {
    let pki = try TestPKI()
    try await withServer(
      pki, pki.server { $0.maximumVersion = version },
      serve: { connection in
        if isCut {
          Self.cut(connection)
          await connection.closed()
        }
      }
    ) { _ in
      let connection = try await connect(pki, pki.client())
      let ending = await connection.ending()
      #expect(tlsError(ending)?.code == (isCut ? .truncated : nil))
      await connection.close()
    }
  }

  @Test("A cut is told apart by who does not know half-closure, too", arguments: [true, false])
  func endsWithoutHalfClosure(isCut: Bool) async throws {
    let pki = try TestPKI()
    try await withServer(
      pki, pki.server(),
      serve: { connection in
        if isCut {
          Self.cut(connection)
          await connection.closed()
        }
      }
    ) { _ in
      let connector = TLSLayer(pki.client()).connector(over: UnixConnector())
      let connection = try await TestConnection(connector, pki.address(), halfClosure: false)
      let ending = await connection.ending()
      #expect(tlsError(ending)?.code == (isCut ? .truncated : nil))
      await connection.closedByPeer()
    }
  }

  @Test(
    "Closing the output alone ends the peer's input and leaves the other direction open",
    arguments: TLSIdentity.Version.allCases)
  func halfClose(_ version: TLSIdentity.Version) async throws {
    let pki = try TestPKI()
    let answer = [UInt8](repeating: 5, count: 1 << 20)
    try await withServer(
      pki, pki.server { $0.maximumVersion = version },
      handlers: { [AnswerAtEndHandler(answer)] }
    ) { _ in
      let connection = try await connect(pki, pki.client())
      try await connection.write([1, 2, 3])
      try await connection.connection.channel.close(mode: .output).get()
      await #expect(throws: ChannelError.self) { try await connection.write([4]) }
      let got = await connection.read(answer.count)
      expectSame(got, answer)
      #expect(await connection.ending() == nil)
      await connection.closedByPeer()
    }
  }

  @Test("Bytes that were written before a close arrive before the end")
  func writtenThenClosed() async throws {
    let pki = try TestPKI()
    let bytes = [UInt8](repeating: 9, count: 4 << 20)
    try await withServer(
      pki, pki.server(),
      serve: { connection in
        // Written is given to the kernel; what it fails with, the client misses.
        try? await connection.channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
      }
    ) { _ in
      let connection = try await connect(pki, pki.client())
      expectSame(await connection.read(bytes.count), bytes)
      #expect(await connection.ending() == nil)
      await connection.close()
    }
  }
}

extension TestConnection {
  /// Waits for the descriptor to be gone without closing it.
  func closedByPeer() async { await connection.closed() }
}

/// Answers when the peer has sent all.
private final class AnswerAtEndHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let answer: [UInt8]

  init(_ answer: [UInt8]) { self.answer = answer }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard case ChannelEvent.inputClosed? = event as? ChannelEvent else { return }
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: answer)), promise: nil)
    context.close(mode: .output, promise: nil)
  }
}
