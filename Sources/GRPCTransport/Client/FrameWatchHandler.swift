#if GRPC
  internal import NIOCore
  internal import RPCCore
  internal import Synchronization
  internal import TransportCore

  /// What a connection's handlers found out, for whoever holds the connection.
  final class LinkSignals: Sendable {
    private struct State {
      var isReady = false
      var isLeaving = false
      var error: (any Error)?
    }

    private let state = Mutex(State())

    /// Whether the server takes new calls.
    var takesCalls: Bool { state.withLock { $0.isReady && !$0.isLeaving } }
    var isLeaving: Bool { state.withLock { $0.isLeaving } }
    /// The first error of the connection.
    var error: (any Error)? { state.withLock { $0.error } }

    func ready() { state.withLock { $0.isReady = true } }
    func leaving() { state.withLock { $0.isLeaving = true } }
    func failed(_ error: any Error) { state.withLock { $0.error = $0.error ?? error } }
  }

  /// Looks on at what the server sends, in front of the library's handlers.
  final class FrameWatchHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private var watch = FrameWatch()
    private let signals: LinkSignals
    /// Succeeds with the server's SETTINGS.
    private let ready: EventLoopPromise<Void>

    init(_ signals: LinkSignals, ready: EventLoopPromise<Void>) {
      self.signals = signals
      self.ready = ready
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let bytes = unwrapInboundIn(data)
      var stranger: FrameWatch.Stranger?
      watch.read(bytes.readableBytesView) { event in
        switch event {
        case .ready:
          signals.ready()
          ready.succeed()
        case .leaving: signals.leaving()
        case .stranger(let what): stranger = what
        }
      }
      guard let stranger else { return context.fireChannelRead(data) }
      ready.fail(stranger.failure)
      context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      signals.failed(error)
      context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
      ready.fail(AttemptFailure.closedEarly(signals.error))
      context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
      ready.fail(AttemptFailure.closedEarly(signals.error))
    }
  }

  extension FrameWatch.Stranger {
    var failure: AttemptFailure {
      switch self {
      case .ttrpc:
        AttemptFailure(
          phase: .handshake, message: "the peer speaks ttrpc, not gRPC", outlook: .fatal,
          hint: "write ttrpc+ in front of the address instead of grpc+")
      case .http1:
        AttemptFailure(
          phase: .handshake, message: "the peer speaks HTTP/1, not gRPC (which is HTTP/2)",
          outlook: .fatal, hint: "this is the address of a web server or of a proxy before one")
      case .tls:
        AttemptFailure(
          phase: .handshake, message: "the peer speaks TLS, and was spoken to without",
          outlook: .fatal, hint: "write grpc+tls+ in front of the address")
      case .unknown:
        AttemptFailure(
          phase: .handshake,
          message: "the peer does not speak gRPC: its first bytes are no HTTP/2 "
            + "SETTINGS frame", outlook: .fatal)
      }
    }
  }

  extension AttemptFailure {
    static func closedEarly(_ cause: (any Error)?) -> AttemptFailure {
      AttemptFailure(
        phase: .handshake,
        message: "the peer closed the connection without a word of HTTP/2",
        outlook: .notReady,
        hint: "a server that speaks something else, such as ttrpc, does that too", cause: cause)
    }

    static func mute(_ limit: Duration) -> AttemptFailure {
      let (seconds, attoseconds) = limit.components
      let limit = Duration.milliseconds(seconds * 1000 + attoseconds / 1_000_000_000_000_000)
      return AttemptFailure(
        phase: .handshake,
        message: "the peer took the connection and sent no HTTP/2 SETTINGS within \(limit)",
        outlook: .notReady,
        hint: "a server that waits for the client to speak first, such as one of ttrpc, does that")
    }
  }
#endif
