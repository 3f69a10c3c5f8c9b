#if GRPC
  internal import NIOCore

  /// Keeps a call off a connection whose server has said that it leaves.
  ///
  /// A call that is begun while the server's GOAWAY arrives finds the connection good, and it is not
  /// any more when its headers are written. The library takes that for an error of the whole
  /// connection, and closes it under the calls that the server would have answered. What is written is
  /// kept by the stream until it is flushed; so it is held here until then, and on the connection's own
  /// event loop nothing can come in between.
  ///
  /// The library also closes the connection when the last call that it knows of has ended, and knows
  /// nothing of one whose headers are still to be written: that one is told that it was never sent.
  final class LeavingGuard: ChannelDuplexHandler {
    typealias InboundIn = Any
    typealias InboundOut = Any
    typealias OutboundIn = Any
    typealias OutboundOut = Any

    private enum Phase {
      case held([(NIOAny, EventLoopPromise<Void>?)])
      /// Its headers are written: it is one of those that the server answers, or not.
      case begun
      case refused
    }

    private let signals: LinkSignals
    private var phase = Phase.held([])

    init(_ signals: LinkSignals) { self.signals = signals }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      switch phase {
      case .held(let writes): phase = .held(writes + [(data, promise)])
      case .begun: context.write(data, promise: promise)
      case .refused: promise?.fail(ClientExchange.NeverSent(cause: nil))
      }
    }

    func flush(context: ChannelHandlerContext) {
      if case .held(let writes) = phase, !writes.isEmpty {
        guard !signals.isLeaving else { return refuse(context) }
        phase = .begun
        for (data, promise) in writes { context.write(data, promise: promise) }
      }
      context.flush()
    }

    func channelInactive(context: ChannelHandlerContext) {
      refuse(context)
      context.fireChannelInactive()
    }

    private func refuse(_ context: ChannelHandlerContext) {
      guard case .held(let writes) = phase else { return }
      phase = .refused
      let error = ClientExchange.NeverSent(cause: nil)
      for (_, promise) in writes { promise?.fail(error) }
      context.fireErrorCaught(error)
    }
  }
#endif
