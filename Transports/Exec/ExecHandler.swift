internal import NIOCore
internal import TransportCore

/// Ties a connection to the command behind it: says how the command ended before the connection's
/// end is passed on, and does not let the connection be closed before the command has ended.
final class ExecHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = NIOAny
  typealias OutboundOut = NIOAny

  private let child: ExecChild
  private let input: PipeEnd
  private let output: PipeEnd
  private var context: ChannelHandlerContext?
  private var end: ExecEnd?
  private var hasRead = false
  private var hasReported = false
  /// Fulfilled when the command has ended and the channel is closed.
  private var closing: EventLoopPromise<Void>?

  /// - Parameters:
  ///   - input: the reading end of the command's input.
  ///   - output: the writing end of its output.
  init(_ child: ExecChild, input: PipeEnd, output: PipeEnd) {
    self.child = child
    self.input = input
    self.output = output
  }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    let end = context.eventLoop.makePromise(of: ExecEnd.self)
    end.completeWithTask { [child] in await child.ended() }
    end.futureResult.assumeIsolated().whenSuccess { self.childEnded($0) }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
    input.release()
    output.release()
  }

  private func childEnded(_ end: ExecEnd) {
    self.end = end
    // What is left in the pipe comes first, and then its end.
    output.release()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    // Nobody wants it any more: it is read so that the command is not stuck.
    guard closing == nil else { return }
    hasRead = true
    context.fireChannelRead(data)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed = event {
      report(context)
      input.release()
    }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    report(context)
    input.release()
    output.release()
    if end == nil {
      let child = child
      Task { await child.finish() }
    }
    context.fireChannelInactive()
  }

  /// Says why the connection ends, if there is something to say.
  private func report(_ context: ChannelHandlerContext) {
    guard let end, end.isFailure, closing == nil, !hasReported else { return }
    hasReported = true
    context.fireErrorCaught(
      TransportError(
        code: hasRead ? .connectionLost : .connectFailed,
        message: "the command \(child.name) (pid \(child.pid)) \(end.description)",
        hint: "run the command by itself to see what it says"))
  }

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    guard mode == .all else { return context.close(mode: mode, promise: promise) }
    if let closing {
      closing.futureResult.cascade(to: promise)
      return
    }
    let closing = context.eventLoop.makePromise(of: Void.self)
    closing.futureResult.cascade(to: promise)
    self.closing = closing
    // The command's input ends, and its output must not keep it.
    context.close(mode: .output, promise: nil)
    input.release()
    do {
      try context.channel.syncOptions?.setOption(.autoRead, value: true)
    } catch {
      // The channel is closed: nothing is read from it.
    }
    let finished = context.eventLoop.makePromise(of: Void.self)
    finished.completeWithTask { [child] in await child.finish() }
    finished.futureResult.assumeIsolated().whenComplete { _ in self.closeNow(closing) }
  }

  private func closeNow(_ closing: EventLoopPromise<Void>) {
    // Without a context the channel is closed, which is all that is wanted.
    guard let context, context.channel.isActive else { return closing.succeed() }
    context.close(mode: .all, promise: closing)
  }
}
