internal import NIOCore
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Carries out a ``HybridVsockHandshake`` in front of a ``ConnectionGate``, which it opens when the
/// VMM has agreed. It takes the reply's line and not a byte more: what came with it goes on.
final class HybridVsockHandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private var handshake: HybridVsockHandshake
  private let gate: ConnectionGate
  private let failure: HybridVsockFailure
  private let result: EventLoopPromise<UInt32>
  /// Whether the line was written.
  private var isSaid = false

  /// - Parameter result: gets the assigned port or an `AttemptFailure`, whatever happens.
  init(
    _ handshake: HybridVsockHandshake, gate: ConnectionGate, failure: HybridVsockFailure,
    result: EventLoopPromise<UInt32>
  ) {
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

  func handlerRemoved(context: ChannelHandlerContext) { end(nil, context) }

  private func establish(_ port: UInt32, rest: ByteBuffer, _ context: ChannelHandlerContext) {
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
    result.fail(failure.handshake(fault, reply: reply.map { Array($0.readableBytesView) } ?? []))
    context.close(promise: nil)
  }
}
