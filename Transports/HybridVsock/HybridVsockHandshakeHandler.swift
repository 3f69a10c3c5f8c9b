internal import NIOCore
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Carries out a ``HybridVsockHandshake`` in front of a ``ConnectionGate``, which it opens when the
/// VMM has agreed. It takes the reply's line and not a byte more: what came with it goes on.
///
/// A dial that is given up while the VMM has the line and has not answered it is closed when the answer
/// has come: vhost-device-vsock up to 0.3.0 fails to write to who is gone, and gives up the guest's whole
/// device for it.
final class HybridVsockHandshakeHandler: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// How long an answer is waited for that nobody wants any more. A VMM with a guest that listens takes
  /// a millisecond, Firecracker's 2 s where there is none.
  static let patience = TimeAmount.seconds(2)

  private var handshake: HybridVsockHandshake
  private let gate: ConnectionGate
  private let failure: HybridVsockFailure
  private let result: EventLoopPromise<UInt32>
  /// Whether the line was written.
  private var isSaid = false
  /// Whether the connection is to be closed when the VMM has answered, and whom that is told.
  private var isGivenUp = false
  private var closing: EventLoopPromise<Void>?
  private var timer: Scheduled<Void>?
  private let waitsForAnswer: Bool

  /// - Parameters:
  ///   - waitsForAnswer: whether a dial that is given up is closed only behind the VMM's answer.
  ///   - result: gets the assigned port or an `AttemptFailure`, whatever happens.
  init(
    _ handshake: HybridVsockHandshake, gate: ConnectionGate, failure: HybridVsockFailure,
    waitsForAnswer: Bool, result: EventLoopPromise<UInt32>
  ) {
    self.waitsForAnswer = waitsForAnswer
    self.handshake = handshake
    self.gate = gate
    self.failure = failure
    self.result = result
  }

  func channelActive(context: ChannelHandlerContext) {
    // The gate hears of it first, and keeps it.
    context.fireChannelActive()
    guard let line = handshake.start() else { return }
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: line))).whenComplete { result in
      let (handler, context) = bound.value
      switch result {
      case .success: handler.isSaid = true
      case .failure(let error): handler.end(error, context)
      }
    }
    context.read()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !handshake.isFinished else { return context.fireChannelRead(data) }
    var buffer = unwrapInboundIn(data)
    let start = buffer
    while let byte = buffer.readInteger(as: UInt8.self) {
      switch handshake.receive(byte) {
      case .more: continue
      case .established(let port): return establish(port, rest: buffer, context)
      case .failed(let fault): return fail(fault, start, context)
      }
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    context.fireChannelReadComplete()
    if !handshake.isFinished { context.read() }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event as? ChannelEvent == .inputClosed { end(nil, context) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end(error, context)
    context.fireErrorCaught(error)
  }

  func channelInactive(context: ChannelHandlerContext) {
    end(nil, context)
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timer?.cancel()
    end(nil, context)
    closing?.succeed(())
    closing = nil
  }

  // MARK: Giving up

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    guard waitsForAnswer, mode == .all, isSaid, !handshake.isFinished, context.channel.isActive
    else {
      return context.close(mode: mode, promise: promise)
    }
    if let promise {
      if let closing { closing.futureResult.cascade(to: promise) } else { closing = promise }
    }
    guard !isGivenUp else { return }
    isGivenUp = true
    result.fail(HybridVsockFailure.cancelled(port: failure.port))
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleTask(in: Self.patience) {
      let (handler, context) = bound.value
      handler.close(context)
    }
  }

  private func close(_ context: ChannelHandlerContext) {
    let promise = closing
    closing = nil
    context.close(promise: promise)
  }

  private func establish(_ port: UInt32, rest: ByteBuffer, _ context: ChannelHandlerContext) {
    guard !isGivenUp else { return close(context) }
    result.succeed(port)
    gate.open()
    if rest.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(rest)) }
    context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
  }

  private func end(_ error: (any Error)?, _ context: ChannelHandlerContext) {
    // NIO reads on when a write fails, and may tell the end that it finds then instead of EPIPE.
    let errno = (error as? IOError)?.errnoCode ?? (isSaid ? 0 : EPIPE)
    if case .failed(let fault) = handshake.end(errno: errno) { fail(fault, nil, context) }
  }

  private func fail(
    _ fault: HybridVsockHandshake.Fault, _ reply: ByteBuffer?, _ context: ChannelHandlerContext
  ) {
    if !isGivenUp {
      result.fail(failure.handshake(fault, reply: reply.map { Array($0.readableBytesView) } ?? []))
    }
    close(context)
  }
}
