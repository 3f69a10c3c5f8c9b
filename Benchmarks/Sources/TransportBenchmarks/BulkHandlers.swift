import NIOCore

/// Writes so many bytes in pieces of one size, as long as the channel takes them, and waits for the
/// answer.
final class BulkSource: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let piece: ByteBuffer
  private var left: Int
  private let done: EventLoopPromise<Void>

  init(_ size: Int, _ total: Int, _ done: EventLoopPromise<Void>) {
    piece = ByteBuffer(repeating: 7, count: size)
    left = total
    self.done = done
  }

  /// On the channel's event loop.
  static func start(on channel: any Channel) throws {
    let pipeline = channel.pipeline.syncOperations
    let source = try pipeline.handler(type: BulkSource.self)
    source.send(try pipeline.context(handler: source))
  }

  private func send(_ context: ChannelHandlerContext) {
    while left > 0, context.channel.isWritable {
      left -= piece.readableBytes
      context.writeAndFlush(wrapOutboundOut(piece), promise: nil)
    }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) { send(context) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) { done.succeed(()) }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    done.fail(error)
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) { done.fail(ChannelError.eof) }
}

/// Reads, and answers each time that so many bytes have come.
final class BulkSink: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let total: Int
  private var count = 0

  init(_ total: Int) { self.total = total }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    count += unwrapInboundIn(data).readableBytes
    guard count >= total else { return }
    count -= total
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "k")), promise: nil)
  }

  // How the client ends is not what is measured.
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
