internal import NIOCore
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Carries out a connection's ``MemoryFaults``, between the channel and the handlers of whoever is
/// to suffer from them.
final class FaultHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = IOData
  typealias OutboundOut = IOData

  /// Beyond this many delayed bytes no more are read, so that the peer is pushed back.
  private static let window = 256 << 10
  /// Pieces that are delivered before other work of the event loop gets its turn.
  private static let burst = 256

  private enum Action {
    case flush
    case close(CloseMode, EventLoopPromise<Void>?)
  }

  private let latency: TimeAmount
  private var input: FaultedInput
  private var output: FaultedOutput
  private var wantsOneRead = false
  private var isPumping = false
  private var alarm: Scheduled<Void>?
  /// Flushes that are being delayed, and closes behind them.
  private var actions: CircularBuffer<(due: NIODeadline, action: Action)> = []

  init(_ faults: MemoryFaults) {
    latency = TimeAmount(faults.latency)
    input = FaultedInput(faults)
    output = FaultedOutput(faults)
  }

  // MARK: Inbound

  func channelActive(context: ChannelHandlerContext) {
    context.fireChannelActive()
    // It may be that not one byte is to pass.
    if let ending = output.write(0).ending { carryOut(ending, context) }
    pump(context)
  }

  func channelInactive(context: ChannelHandlerContext) {
    alarm?.cancel()
    alarm = nil
    // Handlers are removed behind this event, so it is now or never.
    pump(context, isOver: true)
    while let (_, action) = actions.popFirst() { carryOut(action, context) }
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    input.arrived(unwrapInboundIn(data), now: context.eventLoop.now)
    pump(context)
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    // Each delivery comes with one of its own.
    pump(context)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    // It comes before the channel is active, and is no part of what the peer sends.
    if event is PeerAnnouncement { return context.fireUserInboundEventTriggered(event) }
    // It ended before.
    if input.hasEnded, case ChannelEvent.inputClosed = event { return }
    input.arrived(event: event, now: context.eventLoop.now)
    pump(context)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    input.arrived(error: error, now: context.eventLoop.now)
    pump(context)
  }

  func read(context: ChannelHandlerContext) {
    if !isReadingAutomatically(context) { wantsOneRead = true }
    pump(context)
  }

  private func isReadingAutomatically(_ context: ChannelHandlerContext) -> Bool {
    // A channel without the option, such as an embedded one, reads all the time.
    (try? context.channel.syncOptions?.getOption(.autoRead)) ?? true
  }

  private func pump(_ context: ChannelHandlerContext, isOver: Bool = false) {
    guard !isPumping else { return }
    isPumping = true
    defer { isPumping = false }
    var delivered = 0
    while true {
      let mayRead = isOver || wantsOneRead || isReadingAutomatically(context)
      switch input.next(now: isOver ? nil : context.eventLoop.now, mayRead: mayRead) {
      case .idle:
        return readMore(context, if: (mayRead || input.hasEnded) && !isOver)
      case .wait(let due):
        ring(at: due, context)
        return readMore(context, if: mayRead)
      case .held:
        // Nobody is told when automatic reading is turned on: NIO then reads by itself.
        return ring(at: context.eventLoop.now + .milliseconds(5), context)
      case .deliver(let bytes):
        wantsOneRead = false
        context.fireChannelRead(wrapInboundOut(bytes))
        context.fireChannelReadComplete()
        delivered += 1
        if delivered == Self.burst, !isOver { return ring(at: context.eventLoop.now, context) }
      case .event(let event): context.fireUserInboundEventTriggered(event)
      case .error(let error): context.fireErrorCaught(error)
      case .reset: reset(context)
      case .end: endInput(context)
      }
    }
  }

  private func readMore(_ context: ChannelHandlerContext, if isWanted: Bool) {
    if isWanted, input.heldBytes < Self.window { context.read() }
  }

  /// Looks again then.
  private func ring(at due: NIODeadline, _ context: ChannelHandlerContext) {
    alarm?.cancel()
    alarm = context.eventLoop.assumeIsolated().scheduleTask(deadline: due) {
      self.pump(context)
    }
  }

  private func endInput(_ context: ChannelHandlerContext) {
    // As NIO itself does at the end of its input. What comes behind it is read and dropped: shutting
    // the socket's input down would fail the peer's writes.
    guard (try? context.channel.syncOptions?.getOption(.allowRemoteHalfClosure)) ?? false else {
      return context.close(promise: nil)
    }
    context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
  }

  private func reset(_ context: ChannelHandlerContext) {
    context.fireErrorCaught(IOError(errnoCode: ECONNRESET, reason: "an injected reset"))
    context.close(promise: nil)
  }

  // MARK: Outbound

  func write(
    context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
  ) {
    let data = unwrapOutboundIn(data)
    guard !output.hasEnded else {
      promise?.fail(ChannelError.outputClosed)
      return
    }
    let verdict = output.write(data.readableBytes)
    guard let ending = verdict.ending else {
      return context.write(wrapOutboundOut(data), promise: promise)
    }
    let last = context.eventLoop.makePromise(of: Void.self)
    last.futureResult.assumeIsolated().whenSuccess { self.carryOut(ending, context) }
    if verdict.allowed == data.readableBytes {
      last.futureResult.cascade(to: promise)
    } else {
      last.futureResult.flatMapThrowing { throw ChannelError.outputClosed }.cascade(to: promise)
    }
    context.write(wrapOutboundOut(data.prefix(verdict.allowed)), promise: last)
    flush(context: context)
  }

  func flush(context: ChannelHandlerContext) { act(.flush, context) }

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    guard mode != .input, !actions.isEmpty else {
      return context.close(mode: mode, promise: promise)
    }
    // Behind what was written before it.
    act(.close(mode, promise), context)
  }

  private func act(_ action: Action, _ context: ChannelHandlerContext) {
    guard latency > .zero, context.channel.isActive else { return carryOut(action, context) }
    actions.append((context.eventLoop.now + latency, action))
    context.eventLoop.assumeIsolated().scheduleTask(in: latency) { self.actIfDue(context) }
  }

  private func actIfDue(_ context: ChannelHandlerContext) {
    let now = context.eventLoop.now
    while let first = actions.first, first.due <= now {
      actions.removeFirst()
      carryOut(first.action, context)
    }
  }

  private func carryOut(_ action: Action, _ context: ChannelHandlerContext) {
    switch action {
    case .flush: context.flush()
    case .close(let mode, let promise): context.close(mode: mode, promise: promise)
    }
  }

  private func carryOut(_ ending: FaultedOutput.Ending, _ context: ChannelHandlerContext) {
    switch ending {
    case .reset: reset(context)
    case .end: context.close(mode: .output, promise: nil)
    }
  }
}

extension IOData {
  /// The first `count` bytes of it.
  fileprivate func prefix(_ count: Int) -> IOData {
    switch self {
    case .byteBuffer(let bytes):
      // Not nil: it is no more than is there.
      .byteBuffer(bytes.getSlice(at: bytes.readerIndex, length: count) ?? ByteBuffer())
    case .fileRegion(let region):
      .fileRegion(
        FileRegion(
          fileHandle: region.fileHandle, readerIndex: region.readerIndex,
          endIndex: region.readerIndex + count))
    }
  }
}
