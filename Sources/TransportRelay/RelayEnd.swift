internal import NIOCore

/// The last handler of one side's channel: it gives the bridge what comes, and reads only when the
/// bridge can take more.
final class RelayEnd: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  let pair: RelayPair
  let side: RelayStateMachine.Side
  private(set) var context: ChannelHandlerContext?

  /// Bytes given to the channel and not written yet.
  private(set) var unwritten = 0
  /// Whether the channel tells an end of input by itself, before it closes.
  private var reportsEnd = false
  private var hasFailed = false
  private var hasEndedOutput = false
  private(set) var hasEndedInput = false
  private(set) var isGone = false
  private var wantsRead = false
  private var mayRead = false
  /// Received, and not passed on yet: the last of a batch is written together with the flush.
  private var held: ByteBuffer?

  init(_ pair: RelayPair, _ side: RelayStateMachine.Side) {
    self.pair = pair
    self.side = side
  }

  // MARK: Told by the bridge

  func setReading(_ isOn: Bool) {
    guard isOn != mayRead else { return }
    mayRead = isOn
    guard isOn, wantsRead, let context else { return }
    wantsRead = false
    context.read()
  }

  /// Passes on what came before there was another side.
  func passOn() {
    guard let held else { return }
    self.held = nil
    pair.received(held, from: side, isLast: true)
  }

  var hasHeld: Bool { held != nil }

  /// - Parameter isLast: with it goes a flush, and the news of its being written.
  func write(_ buffer: ByteBuffer, isLast: Bool) {
    guard let context else { return }
    unwritten += buffer.readableBytes
    batch += buffer.readableBytes
    guard isLast else { return context.write(wrapOutboundOut(buffer), promise: nil) }
    let count = batch
    batch = 0
    let written = context.eventLoop.makePromise(of: Void.self)
    written.futureResult.assumeIsolated().whenComplete { result in
      switch result {
      case .success: self.wrote(count)
      // The channel's closing follows.
      case .failure: self.hasFailed = true
      }
    }
    context.writeAndFlush(wrapOutboundOut(buffer), promise: written)
  }

  func closeOutput() {
    guard let context else { return }
    let closed = context.eventLoop.makePromise(of: Void.self)
    // One that fails does so because the channel is closing.
    closed.futureResult.assumeIsolated().whenSuccess { self.hasEndedOutput = true }
    context.close(mode: .output, promise: closed)
  }

  /// Bytes written since the last flush.
  private var batch = 0

  private func wrote(_ count: Int) {
    unwritten -= count
    pair.wrote(side)
  }

  // MARK: Told by the channel

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    guard let options = context.channel.syncOptions else { return }
    let size = pair.options.bufferSize
    // Transports that are no sockets may have none of these, and are bridged all the same.
    try? options.setOption(.recvAllocator, value: RelayReadAllocator(most: size))
    try? options.setOption(.maxMessagesPerRead, value: 1)
    do {
      try options.setOption(.allowRemoteHalfClosure, value: true)
      reportsEnd = true
    } catch {
      reportsEnd = false
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
  }

  func read(context: ChannelHandlerContext) {
    if mayRead { context.read() } else { wantsRead = true }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var buffer = unwrapInboundIn(data)
    guard var held else {
      self.held = buffer
      return
    }
    self.held = nil
    if pair.isBegun {
      pair.received(held, from: side, isLast: false)
      self.held = buffer
    } else {
      // Nothing is read yet: here is what came with a handshake, or what the kernel held when the
      // peer closed.
      held.writeBuffer(&buffer)
      self.held = held
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    if pair.isBegun { passOn() }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let event = event as? ChannelEvent, event == .inputClosed {
      if pair.isBegun { passOn() }
      // An end behind a failure is not one in order.
      if !hasFailed {
        hasEndedInput = true
        pair.inputEnded(self)
      }
    }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    pair.failed(error)
    hasFailed = true
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    if pair.isBegun { passOn() }
    // A channel whose output is closed does not tell the end of its input: it closes.
    if (!reportsEnd || hasEndedOutput) && !hasFailed {
      hasEndedInput = true
      pair.inputEnded(self)
    }
    isGone = true
    pair.gone(self)
    context.fireChannelInactive()
  }
}
