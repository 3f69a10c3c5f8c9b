public import NIOCore

/// Holds a connection back from the handlers behind it until whoever connects says that it may
/// begin: its handshake is through, and the policy lets the peer in.
///
/// Put it behind the handlers that make the connection and in front of the protocol's, in the
/// channel's initialiser. Until ``open()`` it withholds `channelActive` and everything that follows
/// it, asks for no reads (the handlers in front ask for what they need themselves), and keeps writes.
/// Then it passes all of it on in order and leaves the pipeline. Behind a gate that never opens
/// nothing ever happens: no byte comes through, not even the connection's end, and writes fail when
/// the channel has closed (`handlerRemoved` is all that a handler there sees).
///
/// Decide and open in the same event: a peer that sends and closes at once is read to its end
/// whether anybody asks or not, and with the channel's end what the gate still holds is gone.
public final class ConnectionGate: ChannelDuplexHandler, RemovableChannelHandler {
  public typealias InboundIn = NIOAny
  public typealias InboundOut = NIOAny
  public typealias OutboundIn = NIOAny
  public typealias OutboundOut = NIOAny

  private enum Inbound {
    case read(NIOAny)
    case readComplete
    case event(Any)
    case error(any Error)
    case writabilityChanged
    case inactive
  }

  private enum Outbound {
    case write(NIOAny, EventLoopPromise<Void>?)
    case flush
    case closeOutput(EventLoopPromise<Void>?)
  }

  private enum Phase {
    case holding
    /// Open, and passing on what was held. What comes in meanwhile goes behind it.
    case replaying
    case passing
  }

  private var isActive = false
  private var isOpen = false
  private var phase = Phase.holding
  private var wantsRead = false
  private var inbound: CircularBuffer<Inbound> = []
  private var outbound: CircularBuffer<Outbound> = []
  private var context: ChannelHandlerContext?

  public init() {}

  /// Lets the connection begin. On the channel's event loop; once.
  public func open() {
    guard !isOpen else { return }
    isOpen = true
    if isActive { begin() }
  }

  private func begin() {
    guard phase == .holding, let context else { return }
    phase = .replaying
    // What is called here may close the channel or take this handler out: `self.context` tells.
    while self.context != nil, let item = outbound.popFirst() {
      switch item {
      case .write(let data, let promise): context.write(data, promise: promise)
      case .flush: context.flush()
      case .closeOutput(let promise): context.close(mode: .output, promise: promise)
      }
    }
    if self.context != nil { context.fireChannelActive() }
    while self.context != nil, let item = inbound.popFirst() {
      switch item {
      case .read(let data): context.fireChannelRead(data)
      case .readComplete: context.fireChannelReadComplete()
      case .event(let event): context.fireUserInboundEventTriggered(event)
      case .error(let error): context.fireErrorCaught(error)
      case .writabilityChanged: context.fireChannelWritabilityChanged()
      case .inactive: context.fireChannelInactive()
      }
    }
    phase = .passing
    guard self.context != nil else { return }
    if wantsRead { context.read() }
    context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
  }

  public func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    isActive = context.channel.isActive
  }

  public func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
    inbound.removeAll()
    while let item = outbound.popFirst() {
      switch item {
      case .write(_, let promise), .closeOutput(let promise):
        promise?.fail(ChannelError.ioOnClosedChannel)
      case .flush: break
      }
    }
  }

  // MARK: Inbound

  public func channelActive(context: ChannelHandlerContext) {
    isActive = true
    if isOpen { begin() }
  }

  public func channelInactive(context: ChannelHandlerContext) {
    isActive = false
    switch phase {
    // Nobody behind the gate knows that there was a connection.
    case .holding: break
    case .replaying: inbound.append(.inactive)
    case .passing: context.fireChannelInactive()
    }
  }

  public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard phase != .passing else { return context.fireChannelRead(data) }
    inbound.append(.read(data))
  }

  public func channelReadComplete(context: ChannelHandlerContext) {
    guard phase != .passing else { return context.fireChannelReadComplete() }
    inbound.append(.readComplete)
  }

  public func channelWritabilityChanged(context: ChannelHandlerContext) {
    guard phase != .passing else { return context.fireChannelWritabilityChanged() }
    inbound.append(.writabilityChanged)
  }

  public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard !(event is PeerAnnouncement) else { return }
    guard phase != .passing else { return context.fireUserInboundEventTriggered(event) }
    inbound.append(.event(event))
  }

  public func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard phase != .passing else { return context.fireErrorCaught(error) }
    inbound.append(.error(error))
  }

  // MARK: Outbound

  /// Whether what is written must wait: for the gate to open, or behind what waited for that.
  private var keepsWrites: Bool { phase == .holding || !outbound.isEmpty }

  public func read(context: ChannelHandlerContext) {
    guard phase != .passing else { return context.read() }
    wantsRead = true
  }

  public func write(
    context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
  ) {
    guard keepsWrites else { return context.write(data, promise: promise) }
    outbound.append(.write(data, promise))
  }

  public func flush(context: ChannelHandlerContext) {
    guard keepsWrites else { return context.flush() }
    outbound.append(.flush)
  }

  public func close(
    context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?
  ) {
    // The end of the output comes behind what is written; a full close waits for nothing.
    guard mode == .output, keepsWrites else { return context.close(mode: mode, promise: promise) }
    outbound.append(.closeOutput(promise))
  }
}
