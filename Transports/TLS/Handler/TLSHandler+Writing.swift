internal import NIOCore
internal import NIOTLS

/// From the protocol to the network.
extension TLSHandler {
  /// The most that is encrypted into one buffer before it is given to the socket.
  private static let batch = 256 << 10
  /// What may wait for the handshake to end.
  private static let heldLimit = 1 << 20

  func write(
    context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
  ) {
    guard !hasSentClose, !wantsOutputClose else {
      promise?.fail(ChannelError.outputClosed)
      return
    }
    let buffer = unwrapOutboundIn(data)
    switch state {
    case .open: break
    case .idle, .handshaking:
      guard writes.byteCount + buffer.readableBytes <= Self.heldLimit else {
        promise?.fail(TLSError.tooMuchBeforeHandshake(Self.heldLimit))
        return
      }
    case .failed, .closed:
      promise?.fail(ChannelError.ioOnClosedChannel)
      return
    }
    writes.append(buffer, promise)
  }

  func flush(context: ChannelHandlerContext) {
    writes.mark()
    if state == .open { flushWrites(context) }
  }

  /// Encrypts what was flushed, in batches, each of which the socket is given at once: so the buffer
  /// comes back and serves for the next one.
  func flushWrites(_ context: ChannelHandlerContext) {
    if owesTicket, writes.hasFlushed {
      owesTicket = false
      engine.giveTicket()
    }
    while state == .open, writes.hasFlushed {
      // Taken, not shared: else clearing it would make a copy.
      var buffer = output ?? context.channel.allocator.buffer(capacity: 0)
      output = nil
      let room = Self.room(for: min(writes.flushedByteCount, Self.batch))
      buffer.clear(minimumCapacity: room)
      var promises: [EventLoopPromise<Void>] = []
      var failure: TLSError?
      buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { bytes in
        var filled = 0
        while failure == nil, bytes.count - filled >= TLSEngine.recordRoom {
          let space = UnsafeMutableRawBufferPointer(rebasing: bytes[filled...])
          let step = writes.next { plain -> Int in
            do throws(TLSError) {
              let (used, count) = try engine.write(plain, into: space)
              filled += count
              return used
            } catch {
              failure = error
              return 0
            }
          }
          guard let step else { break }
          promises += step
        }
        return filled
      }
      output = buffer
      if let failure {
        for promise in promises { promise.fail(failure) }
        return fail(context, failure)
      }
      send(context, buffer, promises)
    }
  }

  /// For so many bytes in records of the greatest length, and one that a queue's end begins.
  private static func room(for bytes: Int) -> Int {
    (bytes / TLSEngine.recordPayload + 2) * TLSEngine.recordRoom
  }

  private func send(
    _ context: ChannelHandlerContext, _ buffer: ByteBuffer, _ promises: [EventLoopPromise<Void>]
  ) {
    // Before the bytes, in their order: what OpenSSL itself has to say came first.
    sendOutput(context, flushes: false)
    let first = promises.first
    for promise in promises.dropFirst() { first?.futureResult.cascade(to: promise) }
    context.writeAndFlush(wrapOutboundOut(buffer), promise: first)
  }

  /// Sends what OpenSSL itself has to say.
  func sendOutput(
    _ context: ChannelHandlerContext, flushes: Bool = true, promise: EventLoopPromise<Void>? = nil
  ) {
    var hasSent = false
    engine.takeOutput { bytes in
      hasSent = true
      var buffer = context.channel.allocator.buffer(capacity: bytes.count)
      buffer.writeBytes(bytes)
      context.write(wrapOutboundOut(buffer), promise: promise)
    }
    guard hasSent else {
      promise?.succeed(())
      return
    }
    if flushes { context.flush() }
  }

  // MARK: Closing

  func close(
    context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?
  ) {
    switch (mode, state) {
    case (.input, _):
      context.close(mode: .input, promise: promise)
    case (.output, .open):
      guard !hasSentClose, !wantsOutputClose else {
        promise?.fail(ChannelError.outputClosed)
        return
      }
      outputClose = promise
      closeOutput(context)
    case (.output, .idle), (.output, .handshaking):
      wantsOutputClose = true
      outputClose = promise
    case (.output, _):
      promise?.fail(ChannelError.ioOnClosedChannel)
    case (.all, .open):
      isClosing = true
      sendClose(context)
      context.close(promise: promise)
    case (.all, _):
      isClosing = true
      context.close(promise: promise)
    }
  }

  /// This side sends no more. The network stays open in both directions: it is TLS that says so, over
  /// any transport.
  func closeOutput(_ context: ChannelHandlerContext) {
    wantsOutputClose = false
    writes.fail(ChannelError.outputClosed)
    let promise = outputClose
    outputClose = nil
    let sent = context.eventLoop.makePromise(of: Void.self)
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    sent.futureResult.whenSuccess {
      let (handler, context) = bound.value
      handler.hasDeliveredClose = true
      if handler.hasReceivedClose, handler.state == .open { context.close(promise: nil) }
    }
    sent.futureResult.cascade(to: promise)
    sendClose(context, sent)
    context.fireUserInboundEventTriggered(ChannelEvent.outputClosed)
  }

  private func sendClose(_ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>? = nil)
  {
    guard !hasSentClose else {
      promise?.succeed(())
      return
    }
    hasSentClose = true
    engine.shutDown()
    sendOutput(context, promise: promise)
  }
}
