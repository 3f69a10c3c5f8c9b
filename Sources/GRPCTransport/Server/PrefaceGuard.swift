#if GRPC
  internal import Logging
  internal import NIOCore
  internal import RPCCore

  /// Lets a client through when it has said what clients of HTTP/2 say first (RFC 9113, 3.4), and
  /// closes the connection of one that says something else, or nothing for too long.
  final class PrefaceGuard: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private let limit: Duration
    private let peerName: String
    private let logger: Logger?
    /// How much of the preface has come.
    private var matched = 0
    private var first: [UInt8] = []
    private var isRefused = false
    private var timer: Scheduled<Void>?

    init(limit: Duration, peerName: String, logger: Logger?) {
      self.limit = limit
      self.peerName = peerName
      self.logger = logger
    }

    func channelActive(context: ChannelHandlerContext) {
      let loopBound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
      timer = context.eventLoop.scheduleTask(in: TimeAmount(limit)) {
        let (handler, context) = loopBound.value
        handler.refuse(context, "has sent no HTTP/2 preface within \(handler.limit)")
      }
      context.fireChannelActive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard matched < Self.preface.count else { return context.fireChannelRead(data) }
      guard !isRefused else { return }
      let bytes = unwrapInboundIn(data).readableBytesView.prefix(Self.preface.count - matched)
      first.append(contentsOf: bytes)
      guard Self.preface.starts(with: first) else {
        return refuse(context, Self.description(of: first))
      }
      matched = first.count
      if matched == Self.preface.count { timer?.cancel() }
      context.fireChannelRead(data)
    }

    private func refuse(_ context: ChannelHandlerContext, _ why: String) {
      isRefused = true
      logger?.notice("A client was hung up on: it \(why)", metadata: ["peer": "\(peerName)"])
      context.close(promise: nil)
    }

    /// What a client that does not begin HTTP/2 looks like.
    static func description(of first: [UInt8]) -> String {
      switch FirstBytes(first) {
      case .ttrpc: "speaks ttrpc, not gRPC: its address has to begin with grpc+"
      case .tls: "speaks TLS, and this address is without"
      case .http1: "speaks HTTP/1, not gRPC (which is HTTP/2)"
      case .http2, nil: "does not begin with the preface of HTTP/2"
      }
    }
  }
#endif
