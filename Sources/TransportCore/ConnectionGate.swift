public import NIOCore

/// Holds a connection back from the handlers behind it until whoever connects says that it may
/// begin: its handshake is through, and the policy lets the peer in.
///
/// Put it behind the handlers that make the connection and in front of the protocol's. Until
/// ``open()`` it withholds `channelActive` and everything that follows it, asks for no reads, and
/// keeps writes. Then it passes all of it on in order and leaves the pipeline.
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
  }

  private enum Outbound {
    case write(NIOAny, EventLoopPromise<Void>?)
    case flush
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
  private var outbound: [Outbound] = []
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
    let unsent = outbound
    outbound = []
    for item in unsent {
      switch item {
      case .write(let data, let promise): context.write(data, promise: promise)
      case .flush: context.flush()
      }
    }
    context.fireChannelActive()
    while let item = inbound.popFirst() {
      switch item {
      case .read(let data): context.fireChannelRead(data)
      case .readComplete: context.fireChannelReadComplete()
      case .event(let event): context.fireUserInboundEventTriggered(event)
      case .error(let error): context.fireErrorCaught(error)
      }
    }
    phase = .passing
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
    let unsent = outbound
    outbound = []
    for case .write(_, let promise) in unsent { promise?.fail(ChannelError.ioOnClosedChannel) }
  }

  public func channelActive(context: ChannelHandlerContext) {
    isActive = true
    if isOpen { begin() }
  }

  public func channelInactive(context: ChannelHandlerContext) {
    isActive = false
    context.fireChannelInactive()
  }

  public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard phase != .passing else { return context.fireChannelRead(data) }
    inbound.append(.read(data))
  }

  public func channelReadComplete(context: ChannelHandlerContext) {
    guard phase != .passing else { return context.fireChannelReadComplete() }
    inbound.append(.readComplete)
  }

  public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard phase != .passing else { return context.fireUserInboundEventTriggered(event) }
    inbound.append(.event(event))
  }

  public func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard phase != .passing else { return context.fireErrorCaught(error) }
    inbound.append(.error(error))
  }

  public func read(context: ChannelHandlerContext) {
    guard phase != .passing else { return context.read() }
    wantsRead = true
  }

  public func write(
    context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
  ) {
    guard phase == .holding else { return context.write(data, promise: promise) }
    outbound.append(.write(data, promise))
  }

  public func flush(context: ChannelHandlerContext) {
    guard phase == .holding else { return context.flush() }
    outbound.append(.flush)
  }
}
