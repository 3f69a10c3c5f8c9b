#if GRPC
  import NIOCore
  import NIOPosix
  import TransportCore

  /// A VMM's socket whose guest's port is a unix socket of this host. It says `OK` in the same write
  /// as the first bytes of the guest: who reads its answer by the line must not lose the rest.
  struct HybridMuxer {
    let channel: any Channel
    let address: TransportAddress

    static func start(at path: String, guest: String) async throws -> HybridMuxer {
      let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .serverChannelOption(.backlog, value: 256)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(HostSide(guest: guest))
          }
        }
        .bind(unixDomainSocketPath: path).get()
      return HybridMuxer(
        channel: channel,
        address: TransportAddress(rpc: .grpc, place: .hybridVsock(path: path, port: 1024)))
    }

    func stop() async throws { try await channel.close() }
  }

  private final class HostSide: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let guest: String
    private var line = ByteBuffer()
    private var connected: (any Channel)?
    private var isConnecting = false

    init(guest: String) { self.guest = guest }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      var bytes = unwrapInboundIn(data)
      if let connected { return connected.writeAndFlush(bytes, promise: nil) }
      line.writeBuffer(&bytes)
      guard !isConnecting, line.readableBytesView.contains(UInt8(ascii: "\n")) else { return }
      isConnecting = true
      let host = context.channel
      let this = NIOLoopBound(self, eventLoop: context.eventLoop)
      ClientBootstrap(group: context.eventLoop)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(GuestSide(host: host))
          }
        }
        .connect(unixDomainSocketPath: guest)
        .whenComplete { outcome in
          switch outcome {
          case .failure: host.close(promise: nil)
          case .success(let channel): this.value.connected = channel
          }
        }
    }

    func channelInactive(context: ChannelHandlerContext) { connected?.close(promise: nil) }
  }

  private final class GuestSide: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let host: any Channel
    private var hasAnswered = false

    init(host: any Channel) { self.host = host }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      var bytes = unwrapInboundIn(data)
      if !hasAnswered {
        hasAnswered = true
        var answer = ByteBuffer(string: "OK 1073741824\n")
        answer.writeBuffer(&bytes)
        bytes = answer
      }
      host.writeAndFlush(bytes, promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { host.close(promise: nil) }
  }
#endif
