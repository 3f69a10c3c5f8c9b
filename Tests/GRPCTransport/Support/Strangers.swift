#if GRPC
  import NIOCore
  import NIOPosix
  import TransportCore

  /// A listening channel whose peers get fixed bytes, and everything that they send kept.
  struct ScriptedServer {
    let channel: any Channel
    let port: UInt16

    /// - Parameters:
    ///   - greeting: what each peer gets at once.
    ///   - answer: what it gets for its first bytes.
    ///   - closes: whether it is hung up on then.
    static func start(
      greeting: [UInt8] = [], answer: [UInt8] = [], closes: Bool = false
    ) async throws -> ScriptedServer {
      let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
              Script(greeting: greeting, answer: answer, closes: closes))
          }
        }
        .bind(host: "127.0.0.1", port: 0).get()
      return ScriptedServer(
        channel: channel, port: UInt16(channel.localAddress?.port ?? 0))
    }

    var address: TransportAddress {
      TransportAddress(rpc: .grpc, place: .tcp(host: "127.0.0.1", port: port))
    }

    func stop() async throws { try await channel.close() }

    private final class Script: ChannelInboundHandler {
      typealias InboundIn = ByteBuffer
      typealias OutboundOut = ByteBuffer
      private let greeting: [UInt8]
      private var answer: [UInt8]?
      private let closes: Bool

      init(greeting: [UInt8], answer: [UInt8], closes: Bool) {
        self.greeting = greeting
        self.answer = answer
        self.closes = closes
      }

      func channelActive(context: ChannelHandlerContext) {
        guard !greeting.isEmpty else { return }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: greeting)), promise: nil)
      }

      func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let answer else { return }
        self.answer = nil
        if !answer.isEmpty {
          context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: answer)), promise: nil)
        }
        if closes { context.close(promise: nil) }
      }
    }
  }
#endif
