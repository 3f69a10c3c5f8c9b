#if GRPC
  internal import NIOCore

  /// Has a connection end behind its last call without a call lost that is on its way.
  ///
  /// By the book (RFC 9113, 6.8) a server says GOAWAY twice: first that it leaves, and when the client
  /// must have heard that, up to which call it answers. The library does so, and SwiftNIO refuses calls
  /// from the first one on; worse, it takes the rest of a call that it has refused for a breach of the
  /// protocol, and stops reading what other calls sent with it. So the first is said here, without
  /// their knowing. They are told when the client has heard of it, and begins no more calls.
  final class DrainHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How long the client may take to have heard of it. Then what it begins is refused.
    static let patience = TimeAmount.seconds(2)
    /// What clients say first, which is no frame.
    private static let prefaceLength = 24
    private static let question = Array("leaving?".utf8)
    /// The last stream that there could be, and no error; then the question.
    private static let farewell: [UInt8] =
      [0, 0, 8, 0x7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]
      + [0, 0, 8, 0x6, 0, 0, 0, 0, 0] + question

    private enum Phase {
      case serving
      case asked(timer: Scheduled<Void>)
      case told
    }

    private var phase = Phase.serving
    private var preface = prefaceLength
    private var frames = FrameCutter()
    /// The ping's answer under way.
    private var answer: [UInt8] = []
    private var isAnswered = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let bytes = unwrapInboundIn(data).readableBytesView
      let ofPreface = bytes.prefix(preface)
      preface -= ofPreface.count
      frames.read(bytes.dropFirst(ofPreface.count)) { header, payload in
        // A PING's answer (RFC 9113, 6.7).
        guard header.type == 0x6, header.flags & 0x1 != 0 else { return }
        guard let payload else { return answer.removeAll(keepingCapacity: true) }
        answer.append(contentsOf: payload.prefix(Self.question.count))
        if answer == Self.question { isAnswered = true }
      }
      context.fireChannelRead(data)
      if isAnswered { tell(context) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      guard event is ChannelShouldQuiesceEvent else {
        return context.fireUserInboundEventTriggered(event)
      }
      // A client that has not begun has no calls.
      guard preface == 0, context.channel.isActive else { return tell(context) }
      guard case .serving = phase else { return }
      let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
      phase = .asked(
        timer: context.eventLoop.scheduleTask(in: Self.patience) {
          let (handler, context) = bound.value
          handler.tell(context)
        })
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: Self.farewell)), promise: nil)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
      if case .asked(let timer) = phase { timer.cancel() }
      phase = .told
    }

    private func tell(_ context: ChannelHandlerContext) {
      if case .told = phase { return }
      if case .asked(let timer) = phase { timer.cancel() }
      phase = .told
      context.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    }
  }
#endif
