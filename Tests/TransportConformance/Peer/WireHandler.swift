internal import NIOCore

/// The end of a connection's pipeline: keeps what comes until somebody asks for it, in bounded
/// memory, and notices what a transport must not do.
final class WireHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// No more is read from the transport while this much waits to be taken.
  static let most = 256 << 10

  /// Written as soon as the channel is active.
  private let greeting: ByteBuffer?
  private let seen: Seen?
  private var received = ByteBuffer()
  private var waiter: EventLoopPromise<Void>?
  private var hasEnded = false
  private var error: (any Error)?
  private var violation: String?
  private var isActive = false
  private var withheldRead = false
  private var writableWaiters: [EventLoopPromise<Void>] = []
  private var context: ChannelHandlerContext?

  init(greeting: ByteBuffer? = nil, seen: Seen? = nil) {
    self.greeting = greeting
    self.seen = seen
  }

  // MARK: For the wire, on the event loop

  /// The next bytes, at most `most` of them; `nil` when there are no more to come.
  func take(atMost most: Int, on eventLoop: any EventLoop) -> EventLoopFuture<ByteBuffer?> {
    if let violation { return eventLoop.makeFailedFuture(Broken(violation)) }
    if received.readableBytes > 0 {
      let bytes = received.readSlice(length: min(most, received.readableBytes))
      received.discardReadBytes()
      resumeReading()
      return eventLoop.makeSucceededFuture(bytes)
    }
    if let error { return eventLoop.makeFailedFuture(error) }
    if hasEnded { return eventLoop.makeSucceededFuture(nil) }
    guard waiter == nil else {
      return eventLoop.makeFailedFuture(Broken("two readers at once: the check is wrong"))
    }
    let promise = eventLoop.makePromise(of: Void.self)
    waiter = promise
    return promise.futureResult.assumeIsolated().flatMap { _ in
      self.take(atMost: most, on: eventLoop)
    }.nonisolated()
  }

  /// Succeeds when the channel can be written to, or is closed.
  func whenWritable(_ channel: any Channel) -> EventLoopFuture<Void> {
    if channel.isWritable || !channel.isActive {
      return channel.eventLoop.makeSucceededVoidFuture()
    }
    let promise = channel.eventLoop.makePromise(of: Void.self)
    writableWaiters.append(promise)
    return promise.futureResult
  }

  private func resumeReading() {
    guard withheldRead, received.readableBytes < Self.most, let context else { return }
    withheldRead = false
    context.read()
  }

  private func wake() {
    let waiter = self.waiter
    self.waiter = nil
    waiter?.succeed(())
  }

  private func wakeWriters() {
    let waiters = writableWaiters
    writableWaiters = []
    for waiter in waiters { waiter.succeed(()) }
  }

  private func violated(_ text: String) {
    violation = violation ?? text
    wake()
  }

  // MARK: From the transport

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    if context.channel.isActive { began(context) }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
    hasEnded = true
    wake()
    wakeWriters()
  }

  func channelActive(context: ChannelHandlerContext) {
    if isActive { violated("the channel became active twice") }
    began(context)
  }

  private func began(_ context: ChannelHandlerContext) {
    isActive = true
    seen?.note(.active)
    if let greeting { context.writeAndFlush(wrapOutboundOut(greeting), promise: nil) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    seen?.note(.bytes)
    if !isActive { violated("bytes came before the channel was active") }
    if hasEnded { violated("\(bytes.readableBytes) bytes came after the end") }
    received.writeBuffer(&bytes)
    wake()
  }

  func read(context: ChannelHandlerContext) {
    if received.readableBytes < Self.most {
      context.read()
    } else {
      withheldRead = true
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard case ChannelEvent.inputClosed = event else { return }
    hasEnded = true
    wake()
  }

  func channelInactive(context: ChannelHandlerContext) {
    hasEnded = true
    wake()
    wakeWriters()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { wakeWriters() }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    self.error = self.error ?? error
    wake()
    context.close(promise: nil)
  }
}
