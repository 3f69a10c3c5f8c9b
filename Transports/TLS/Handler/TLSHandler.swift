internal import NIOCore
internal import NIOTLS
internal import TransportCore

/// Speaks TLS between the network and the protocol's handlers, driving a ``TLSEngine``.
///
/// It begins when it is told who the transport beneath says that the peer is, and whom to let in: a
/// client by a ``PeerAnnouncement`` with `channelActive`, as a rule, and else by who waits for it.
/// From there on everything happens on the event loop: the handshake's end, the policy's decision and
/// the opening of the ``ConnectionGate`` behind this handler are one event, so that a peer that sends
/// and closes at once loses nothing, and one that is refused has sent nothing to the protocol.
final class TLSHandler: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  enum State {
    /// Not active yet, or not told yet to begin.
    case idle
    case handshaking
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
    /// What the policy took besides.
    var decision: Duration
  }

  /// What may come before this side begins.
  private static let earlyLimit = 64 << 10

  let engine: TLSEngine
  private let gate: ConnectionGate
  private let limit: TimeAmount
  let outcome: EventLoopPromise<Outcome>
  /// A client's own end of it; servers begin when their task does.
  private let handshake: TLSHandshake?
  private(set) var state = State.idle
  private var began = ContinuousClock.now
  /// What came before this side began.
  private var early: ByteBuffer?
  var timer: Scheduled<Void>?
  private var verdictTimer: Scheduled<Void>?
  private(set) var isAwaitingVerdict = false

  /// The ticket goes out with the first bytes that are written. Alone it could come to a client that
  /// has said all that it had to say and is gone: the kernel would answer with a reset, and that
  /// would take what the client said along.
  var owesTicket = false

  // What is written, and what is read: see the extensions.
  var writes = TLSWriteQueue()
  var output: ByteBuffer?
  var plaintext: ByteBuffer?
  /// Somebody behind this handler asked for bytes and has got none yet.
  var wantsBytes = false
  var hasDelivered = false
  var hasReceivedClose = false
  var hasSentClose = false
  /// Not only said, but given to the network, with all that came before it.
  var hasDeliveredClose = false
  var whenDelivered: EventLoopPromise<Void>?
  var isClosing = false
  var outputClose: EventLoopPromise<Void>?
  var wantsOutputClose = false

  /// - Parameters:
  ///   - gate: what is behind this handler.
  ///   - limit: how long the handshake may take.
  ///   - promise: is told how it went, once.
  init(
    _ engine: TLSEngine, gate: ConnectionGate, limit: TimeAmount,
    outcome: EventLoopPromise<Outcome>, handshake: TLSHandshake? = nil
  ) {
    self.engine = engine
    self.gate = gate
    self.limit = limit
    self.outcome = outcome
    self.handshake = handshake
  }

  // MARK: Beginning and end

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { startClock(context) }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    end(context, TLSError.closedInHandshake(engine.context.role))
  }

  func channelActive(context: ChannelHandlerContext) {
    // It goes on when the handshake is through.
    startClock(context)
    if engine.admission != nil { begin(context) }
  }

  private func startClock(_ context: ChannelHandlerContext) {
    guard timer == nil, state == .idle else { return }
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleTask(in: limit) {
      let (handler, context) = bound.value
      handler.handshakeTookTooLong(context)
    }
  }

  /// Begins the handshake, now or when the channel is active; once.
  func begin(_ context: ChannelHandlerContext, admitting admission: TLSAdmission) {
    guard state == .idle, engine.admission == nil else { return }
    engine.admission = admission
    if context.channel.isActive { begin(context) }
  }

  private func begin(_ context: ChannelHandlerContext) {
    guard state == .idle else { return }
    state = .handshaking
    began = .now
    if engine.context.role == .client {
      advance(context, UnsafeRawBufferPointer(start: nil, count: 0))
    }
    if let bytes = early {
      early = nil
      channelRead(context: context, data: wrapInboundOut(bytes))
      channelReadComplete(context: context)
    } else {
      context.read()
    }
  }

  private func handshakeTookTooLong(_ context: ChannelHandlerContext) {
    guard state == .handshaking || state == .idle else { return }
    fail(context, TLSError.handshakeTookTooLong(engine.context.role, limit), sendsAlert: false)
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
      fail(context, TLSError.hungUpOnCertificate, sendsAlert: false)
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
    whenDelivered?.fail(ChannelError.ioOnClosedChannel)
    whenDelivered = nil
    output = nil
    plaintext = nil
    early = nil
  }

  // MARK: Handshake

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var buffer = unwrapInboundIn(data)
    if state == .idle { return keep(context, &buffer) }
    buffer.withUnsafeReadableBytes { bytes in
      var rest = bytes
      if state == .handshaking { rest = advance(context, rest) }
      if state == .open, !hasReceivedClose, !isClosing { decrypt(context, rest) }
    }
  }

  /// A network that has hung up is read to its end also when nobody asks. What comes in good faith
  /// before a handshake has begun is one flight.
  private func keep(_ context: ChannelHandlerContext, _ buffer: inout ByteBuffer) {
    if early == nil { early = buffer } else { early?.writeBuffer(&buffer) }
    if let count = early?.readableBytes, count > Self.earlyLimit {
      fail(context, TLSError.tooMuchBeforeHandshake(Self.earlyLimit), sendsAlert: false)
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
      complete(context)
    case .failed(let fault):
      let error: any Error = engine.admission?.refusal ?? HandshakeFailure(engine, fault).error
      sendOutput(context)
      fail(context, error, sendsAlert: fault.receivedAlert == nil)
    }
    return rest
  }

  private func complete(_ context: ChannelHandlerContext) {
    timer?.cancel()
    if let error = objection() {
      // A server's last message has to go out: without it the client would take its being refused
      // for a network that fails, and try again. A client's says that it agrees.
      if engine.context.role == .server { sendOutput(context) }
      return fail(context, error)
    }
    sendOutput(context)
    state = .open
    context.fireChannelActive()
    context.fireUserInboundEventTriggered(
      TLSUserEvent.handshakeCompleted(negotiatedProtocol: engine.applicationProtocol))
    if engine.awaitsVerdict { awaitVerdict(context) } else { letIn(context) }
    guard state == .open else { return }
    flushWrites(context)
    if wantsOutputClose { closeOutput(context) }
  }

  /// What this side has against the peer, though their handshake went well.
  private func objection() -> (any Error)? {
    if let problem = engine.checkResumed() {
      return problem.error(of: engine.context.role, expecting: engine.expected)
    }
    let configuration = engine.context.configuration
    if configuration.requiresApplicationProtocol, engine.applicationProtocol == nil {
      return TLSError.noApplicationProtocol(configuration.applicationProtocols)
    }
    _ = engine.admission?.decide(engine.identity)
    return engine.admission?.refusal
  }

  /// Opens the gate, in the same event in which it was found that it may be.
  private func letIn(_ context: ChannelHandlerContext) {
    if isAwaitingVerdict {
      verdictTimer?.cancel()
      isAwaitingVerdict = false
      engine.stopWatching()
    }
    let duration = ContinuousClock.now - began
    if engine.isAwaited {
      engine.welcome()
      sendOutput(context)
    } else {
      owesTicket = true
    }
    let identity = engine.identity
    let admission = engine.admission
    engine.admission = nil
    gate.open()
    outcome.succeed(
      Outcome(
        identity: identity, duration: duration - (admission?.duration ?? .zero),
        decision: admission?.duration ?? .zero))
  }

  // MARK: The server's verdict

  /// A TLS 1.3 server reads the client's certificate when the client is through. What it sends next,
  /// a session ticket as a rule, says that it took it; an alert, that it did not. One that sends
  /// neither is waited for only as long as its answer could take.
  private func awaitVerdict(_ context: ChannelHandlerContext) {
    isAwaitingVerdict = true
    engine.watchForWelcome()
    let roundTrip = ContinuousClock.now - began
    let wait = min(max(roundTrip * 4, .milliseconds(50)), .milliseconds(500))
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    verdictTimer = context.eventLoop.scheduleTask(in: TimeAmount(wait)) {
      let (handler, context) = bound.value
      handler.acceptVerdict(context)
    }
    context.read()
  }

  func acceptVerdict(_ context: ChannelHandlerContext) {
    if isAwaitingVerdict { letIn(context) }
  }

  // MARK: Failure

  func fail(_ context: ChannelHandlerContext, _ error: any Error, sendsAlert: Bool = true) {
    let isPending = state == .idle || state == .handshaking || isAwaitingVerdict
    let isOpen = state == .open && !isAwaitingVerdict
    state = .failed
    timer?.cancel()
    verdictTimer?.cancel()
    isAwaitingVerdict = false
    early = nil
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
    timer = context.eventLoop.scheduleTask(in: .milliseconds(500)) {
      bound.value.close(promise: nil)
    }
    context.read()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard state == .idle || state == .handshaking || isAwaitingVerdict else {
      return context.fireErrorCaught(error)
    }
    let before =
      isAwaitingVerdict
      ? TLSError.hungUpOnCertificate : .closedInHandshake(engine.context.role, error)
    fail(context, before, sendsAlert: false)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let announcement = event as? PeerAnnouncement, let handshake {
      return begin(context, admitting: handshake.admission(of: announcement.peer))
    }
    guard case ChannelEvent.inputClosed? = event as? ChannelEvent else {
      return context.fireUserInboundEventTriggered(event)
    }
    switch state {
    case .idle, .handshaking:
      fail(context, TLSError.closedInHandshake(engine.context.role), sendsAlert: false)
    case .open where !hasReceivedClose:
      cut(context)
      context.close(promise: nil)
    case .failed: context.close(promise: nil)
    case .open where isClosing: context.close(promise: nil)
    default: break
    }
  }
}
