internal import NIOCore
internal import NIOTLS
internal import TransportCore

/// Speaks TLS between the network and the protocol's handlers, driving a ``TLSEngine``.
///
/// `channelActive` goes on when the handshake is through. A ``ConnectionGate`` behind this handler
/// holds the protocol back until the peer has been let in, too.
final class TLSHandler: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  enum State {
    case idle, handshaking
    /// Through the handshake; a client may wait for the server's verdict on its certificate.
    case open
    /// Failed, with an alert on its way; whatever still comes is thrown away.
    case failed
    case closed
  }

  /// How the handshake went.
  struct Outcome: Sendable {
    var identity: TLSIdentity
    var duration: Duration
  }

  let engine: TLSEngine
  private let limit: TimeAmount
  private let outcome: EventLoopPromise<Outcome>
  private(set) var state = State.idle
  private var began = ContinuousClock.now
  private var timer: Scheduled<Void>?
  private var verdictTimer: Scheduled<Void>?
  private var isAwaitingVerdict = false

  // What is written, and what is read: see the extensions.
  var writes = TLSWriteQueue()
  var output: ByteBuffer?
  var plaintext: ByteBuffer?
  /// Somebody behind this handler asked for bytes and has got none yet.
  var wantsBytes = false
  var hasDelivered = false
  var hasReceivedClose = false
  var hasSentClose = false
  var isClosing = false
  var outputClose: EventLoopPromise<Void>?
  var wantsOutputClose = false

  /// - Parameters:
  ///   - limit: how long the handshake may take.
  ///   - promise: is told how it went, once.
  init(_ engine: TLSEngine, limit: TimeAmount, outcome: EventLoopPromise<Outcome>) {
    self.engine = engine
    self.limit = limit
    self.outcome = outcome
  }

  var handshake: EventLoopFuture<Outcome> { outcome.futureResult }

  // MARK: Beginning and end

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { begin(context) }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    end(context, TLSError.closedInHandshake(engine.context.role))
  }

  func channelActive(context: ChannelHandlerContext) {
    // It goes on when the handshake is through.
    begin(context)
  }

  private func begin(_ context: ChannelHandlerContext) {
    guard state == .idle else { return }
    state = .handshaking
    began = .now
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleTask(in: limit) {
      let (handler, context) = bound.value
      handler.handshakeTookTooLong(context)
    }
    if engine.context.role == .client {
      advance(context, UnsafeRawBufferPointer(start: nil, count: 0))
    }
    context.read()
  }

  private func handshakeTookTooLong(_ context: ChannelHandlerContext) {
    guard state == .handshaking else { return }
    fail(context, .handshakeTookTooLong(engine.context.role, limit), sendsAlert: false)
  }

  func channelInactive(context: ChannelHandlerContext) {
    cut(context)
    let wasOpen = state == .open
    end(context, TLSError.closedInHandshake(engine.context.role))
    if wasOpen { state = .closed }
    context.fireChannelInactive()
  }

  /// The network is at its end. Whether that was to be expected is for TLS to say: anybody on the way
  /// can end a TCP connection.
  private func cut(_ context: ChannelHandlerContext) {
    switch state {
    case .open where isAwaitingVerdict:
      fail(context, .hungUpOnCertificate, sendsAlert: false)
    case .open where !hasReceivedClose && !isClosing:
      context.fireErrorCaught(TLSError.truncated)
    default: break
    }
  }

  private func end(_ context: ChannelHandlerContext, _ error: TLSError) {
    timer?.cancel()
    verdictTimer?.cancel()
    if state == .idle || state == .handshaking || isAwaitingVerdict { outcome.fail(error) }
    isAwaitingVerdict = false
    state = .closed
    writes.fail(ChannelError.ioOnClosedChannel)
    outputClose?.fail(ChannelError.ioOnClosedChannel)
    outputClose = nil
    output = nil
    plaintext = nil
  }

  // MARK: Handshake

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    buffer.withUnsafeReadableBytes { bytes in
      var rest = bytes
      if state == .handshaking { rest = advance(context, rest) }
      if state == .open, !hasReceivedClose { decrypt(context, rest) }
    }
  }

  /// - Returns: what the handshake had no use for.
  @discardableResult
  private func advance(
    _ context: ChannelHandlerContext, _ input: UnsafeRawBufferPointer
  ) -> UnsafeRawBufferPointer {
    let (progress, unused) = engine.handshake(input)
    let rest = UnsafeRawBufferPointer(rebasing: input.suffix(unused))
    switch progress {
    case .wantsInput:
      sendOutput(context)
    case .done:
      sendOutput(context)
      complete(context)
    case .failed(let fault):
      let error = HandshakeFailure(engine, fault).error
      sendOutput(context)
      fail(context, error)
    }
    return rest
  }

  private func complete(_ context: ChannelHandlerContext) {
    timer?.cancel()
    if let problem = engine.checkResumed() {
      return fail(
        context, problem.error(of: engine.context.role, expecting: engine.expected))
    }
    let configuration = engine.context.configuration
    let agreed = engine.applicationProtocol
    if configuration.requiresApplicationProtocol, agreed == nil {
      return fail(context, .noApplicationProtocol(configuration.applicationProtocols))
    }
    state = .open
    if engine.awaitsVerdict { awaitVerdict(context) } else { succeed() }
    context.fireChannelActive()
    context.fireUserInboundEventTriggered(
      TLSUserEvent.handshakeCompleted(negotiatedProtocol: agreed))
    flushWrites(context)
    if wantsOutputClose { closeOutput(context) }
  }

  private func succeed() {
    verdictTimer?.cancel()
    isAwaitingVerdict = false
    outcome.succeed(Outcome(identity: engine.identity, duration: .now - began))
  }

  // MARK: The server's verdict

  /// A TLS 1.3 server reads the client's certificate when the client is through. What it sends next,
  /// a session ticket as a rule, says that it took it; an alert, that it did not. One that sends
  /// neither is waited for only as long as its answer could take.
  private func awaitVerdict(_ context: ChannelHandlerContext) {
    isAwaitingVerdict = true
    let roundTrip = ContinuousClock.now - began
    let wait = min(max(roundTrip * 4, .milliseconds(50)), .milliseconds(500))
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    verdictTimer = context.eventLoop.scheduleTask(in: TimeAmount(wait)) {
      bound.value.acceptVerdict()
    }
    context.read()
  }

  func acceptVerdict() {
    if isAwaitingVerdict { succeed() }
  }

  // MARK: Failure

  func fail(_ context: ChannelHandlerContext, _ error: TLSError, sendsAlert: Bool = true) {
    let isPending = state == .handshaking || isAwaitingVerdict
    let isOpen = state == .open && !isAwaitingVerdict
    state = .failed
    timer?.cancel()
    verdictTimer?.cancel()
    isAwaitingVerdict = false
    writes.fail(error)
    if isPending { outcome.fail(error) }
    if isOpen { context.fireErrorCaught(error) }
    guard sendsAlert, context.channel.isActive, engine.context.role == .server || isOpen else {
      return context.close(promise: nil)
    }
    linger(context)
  }

  /// Closing at once, with bytes of the peer's unread, would make the kernel take back what it has not
  /// sent yet: the alert that says why.
  private func linger(_ context: ChannelHandlerContext) {
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.close(mode: .output, promise: nil)
    context.eventLoop.scheduleTask(in: .milliseconds(500)) {
      bound.value.close(promise: nil)
    }
    context.read()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard state == .handshaking || isAwaitingVerdict else { return context.fireErrorCaught(error) }
    let before =
      isAwaitingVerdict
      ? TLSError.hungUpOnCertificate : .closedInHandshake(engine.context.role, error)
    fail(context, before, sendsAlert: false)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard case ChannelEvent.inputClosed? = event as? ChannelEvent else {
      return context.fireUserInboundEventTriggered(event)
    }
    switch state {
    case .handshaking:
      fail(context, .closedInHandshake(engine.context.role), sendsAlert: false)
    case .open where !hasReceivedClose:
      cut(context)
      context.close(promise: nil)
    case .failed: context.close(promise: nil)
    default: break
    }
  }
}
