import Glibc
import NIOCore
import NIOPosix
import ProcessSupervision
import Testing
import TransportCore
import UnixTransport

@Suite("Unix sockets with Go's net package at the other end", .goPeer("go-sockets"))
struct UnixGoTests {
  /// A socket's name as Go writes it, and as we do.
  private static func name(isAbstract: Bool) throws -> (String, TransportAddress) {
    let peer = try #require(GoPeer.current)
    let name = "hawsepipe-\(UInt64.random(in: 0 ... .max))"
    return isAbstract
      ? ("@\(name)", TransportAddress(place: .abstract(name: name)))
      : (
        "\(peer.directory)/\(name)",
        TransportAddress(place: .unix(path: "\(peer.directory)/\(name)"))
      )
  }

  /// Sends back what it gets, and ends when the peer does.
  private final class Echo: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      context.writeAndFlush(data, promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      guard event as? ChannelEvent == .inputClosed else { return }
      // Behind all that still waits to be written.
      let channel = context.channel
      channel.writeAndFlush(ByteBuffer()).whenComplete { _ in channel.close(promise: nil) }
    }
  }

  /// Everything until the peer's end.
  private final class Hearing: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let all: EventLoopPromise<String>
    private var text = ""

    init(_ all: EventLoopPromise<String>) { self.all = all }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      text += String(buffer: unwrapInboundIn(data))
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      if event as? ChannelEvent == .inputClosed { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) { all.succeed(text) }
  }

  @Test("a Go dialer reaches our listener, with little and with much", arguments: [false, true])
  func goDials(isAbstract: Bool) async throws {
    let peer = try #require(GoPeer.current)
    let (name, address) = try Self.name(isAbstract: isAbstract)
    let listener = try UnixListener(bindingTo: address)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await listener.run { channel in
          try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
          try channel.pipeline.syncOperations.addHandler(Echo())
        } onConnection: { connection in
          // However it ended, it ended.
          try? await connection.channel.closeFuture.get()
        }
      }
      #expect(try await peer.run("dial", name, "from Go ✓") == "from Go ✓")
      // More than all buffers on the way hold.
      #expect(try await peer.run("pour", name, "8000000") == "8000000 bytes, the same")
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  private static let much = String(repeating: "0123456789", count: 800_000)

  @Test(
    "we reach a Go listener, which is identified, with little and with much",
    arguments: [false, true], [false, true])
  func goListens(isAbstract: Bool, isMuch: Bool) async throws {
    let text = isMuch ? Self.much : "to Go ✓"
    let peer = try #require(GoPeer.current)
    let (name, address) = try Self.name(isAbstract: isAbstract)
    async let output = peer.run("listen", name)
    let heard = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: String.self)
    let connection: Connection
    do {
      connection = try await UnixConnector().connect(
        to: address,
        options: ConnectOptions(timeout: .seconds(60), mode: .waitUntilReady())
      ) { channel in
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try channel.pipeline.syncOperations.addHandler(Hearing(heard))
      }
    } catch {
      heard.fail(error)
      throw error
    }
    #expect(connection.peer.unix?.uid == geteuid())
    #expect(connection.peer.unix?.pid != getpid())
    try await connection.channel.writeAndFlush(ByteBuffer(string: text))
    try await connection.channel.close(mode: .output)
    // Not printed when it differs: it may be long.
    let isSame = try await heard.futureResult.get() == text
    #expect(isSame)
    let printed = isMuch ? "\(text.utf8.count) bytes" : text
    #expect(try await output == "ready\n\(printed)")
  }
}
