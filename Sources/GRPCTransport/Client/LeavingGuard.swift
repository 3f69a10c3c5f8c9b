#if GRPC
  internal import NIOCore

  /// Keeps a call off a connection whose server has said that it leaves.
  ///
  /// A call that is begun while the server's GOAWAY arrives finds the connection good, and it is not
  /// any more when its headers are written. The library takes that for an error of the whole
  /// connection, and closes it under the calls that the server would have answered. Here, on the
  /// connection's own event loop, nothing can come in between.
  final class LeavingGuard: ChannelOutboundHandler {
    typealias OutboundIn = Any
    typealias OutboundOut = Any

    private let signals: LinkSignals
    /// Once its headers are written it is one of those that the server answers, or not.
    private var hasBegun = false

    init(_ signals: LinkSignals) { self.signals = signals }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      guard hasBegun || !signals.isLeaving else {
        let error = ClientExchange.NeverSent(cause: nil)
        promise?.fail(error)
        context.fireErrorCaught(error)
        return
      }
      hasBegun = true
      context.write(data, promise: promise)
    }
  }
#endif
