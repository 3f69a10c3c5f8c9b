import NIOCore
import RPCCore

/// A ttrpc client in a channel's pipeline: writes requests, hands answers to who waits for them.
///
/// Everything here happens on the channel's event loop. What is written in one tick leaves in one
/// flush, which stands behind the calls that the tick's answers have woken.
final class ClientHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private var decoder = FrameDecoder()
  var writer = FrameWriter()
  var machine: ClientStateMachine
  let deadlines = DeadlineTimer<ClientEntry> { $0.isLive }
  /// What waits for the channel to take more. What was withdrawn since is still in it.
  private var queue = CircularBuffer<Waiting>()
  private var withdrawn = 0
  let watch: StreamWatch<ClientHandler>
  private var isReadHeld = false
  private var isReceiving = false

  enum Waiting {
    case call(ClientCall)
    case opening(ClientStream)
    case output(ClientStream)
  }

  private(set) var context: ChannelHandlerContext?
  private var isFlushScheduled = false
  /// What the flush lets somebody write must wait until the writer is ready for it again.
  private var isFlushing = false
  private var lastError: (any Error)?
  private var closure = ClientClosure()

  /// What messages call the other end.
  private let peerName: String

  init(peerName: String, budget: TTRPCStreamBudget = .init(), firstID: UInt32 = 1) {
    self.peerName = peerName
    watch = StreamWatch(budget)
    machine = ClientStateMachine(firstID: firstID)
  }

  /// How many calls and streams have not ended.
  var pendingCalls: Int { machine.waiting + waitingToBegin }

  private var waitingToBegin: Int {
    queue.reduce(0) { count, waiting in
      switch waiting {
      case .call(let call): count + (call.state == .queued ? 1 : 0)
      case .opening(let stream): count + (stream.machine.hasEnded ? 0 : 1)
      case .output: count
      }
    }
  }

  // MARK: Calls

  func start(_ call: ClientCall, _ continuation: UnsafeContinuation<ClientCall.Outcome, Never>) {
    guard call.begin(continuation) else { return }
    if let refusal = machine.refusal { return call.finish(.failure(refusal)) }
    guard let context else { return call.finish(.failure(connectionClosed("is not open"))) }
    if let deadline = call.deadline {
      guard deadline > context.eventLoop.now else {
        return call.finish(.failure(.deadlinePassed(call)))
      }
      deadlines.insert(.call(call), at: deadline, on: context.eventLoop)
    }
    if queue.isEmpty, context.channel.isActive, context.channel.isWritable {
      send(call, context)
    } else {
      call.state = .queued
      queue.append(.call(call))
    }
  }

  func cancel(_ call: ClientCall) {
    let error = RPCError(
      code: .cancelled, message: "\(call.method): the calling task was cancelled",
      reason: .cancelled)
    end(call, .failure(error))
  }

  private func send(_ call: ClientCall, _ context: ChannelHandlerContext) {
    var head = RequestHead(method: call.method, metadata: call.metadata)
    if let deadline = call.deadline {
      head.timeoutNanoseconds = max(1, (deadline - context.eventLoop.now).nanoseconds)
    }
    let size = head.envelopeSize(payload: call.payload.readableBytes)
    guard size <= FrameHeader.maximumLength else { return end(call, .failure(.oversize(size))) }
    switch machine.open(.call(call)) {
    case .refused(let error):
      end(call, .failure(error))
    case .opened(let id):
      let payload = call.payload
      call.payload = ByteBuffer()
      call.state = .waiting(id)
      writer.request(head, streamID: id, payload: payload) {
        context.write(wrapOutboundOut($0), promise: nil)
      }
      wrote(context)
    }
  }

  /// Ends a call from this side: it is forgotten here, the peer is not told (ttrpc cannot).
  private func end(_ call: ClientCall, _ outcome: ClientCall.Outcome, expired: Bool = false) {
    switch call.state {
    case .finished: return
    case .new: break
    case .queued: withdrawn += 1
    case .waiting(let id): machine.forget(id)
    }
    finish(call, outcome, expired: expired)
    dropWithdrawn()
    closeIfSpent()
  }

  private func expired(_ entry: ClientEntry) {
    switch entry {
    case .call(let call): end(call, .failure(.deadlinePassed(call)), expired: true)
    case .stream(let stream): expired(stream)
    }
  }

  private func finish(_ call: ClientCall, _ outcome: ClientCall.Outcome, expired: Bool = false) {
    let hadDeadline = call.deadline != nil && call.state != .new
    call.finish(outcome)
    // An expired call's entry has been taken out of the queue already.
    if hadDeadline, !expired { deadlines.forget() }
  }

  // MARK: Sending

  func wrote(_ context: ChannelHandlerContext) {
    if writer.wantsFlush { flush() } else { scheduleFlush(context) }
  }

  func scheduleFlush(_ context: ChannelHandlerContext) {
    guard !isFlushScheduled else { return }
    isFlushScheduled = true
    context.eventLoop.assumeIsolated().execute {
      self.isFlushScheduled = false
      self.flush()
      // Streams stop when the tick has written its share.
      if let context = self.context { self.sendQueued(context) }
    }
  }

  private func flush() {
    guard let context else { return }
    writer.emit { context.write(wrapOutboundOut($0), promise: nil) }
    isFlushing = true
    context.flush()
    isFlushing = false
    writer.recycle()
  }

  func enqueue(_ waiting: Waiting) { queue.append(waiting) }

  private func sendQueued(_ context: ChannelHandlerContext) {
    while !queue.isEmpty, canSend, let waiting = queue.popFirst() {
      switch waiting {
      case .call(let call): if call.state == .queued { send(call, context) } else { withdrawn -= 1 }
      case .opening(let stream):
        stream.isQueued = false
        if stream.machine.hasEnded { withdrawn -= 1 } else { open(stream, context) }
      case .output(let stream): continueOutput(stream)
      }
    }
  }

  func withdraw() {
    withdrawn += 1
    dropWithdrawn()
  }

  /// Keeps a queue that nobody drains, since the peer does not read, from filling with calls that
  /// have long been given up.
  private func dropWithdrawn() {
    guard withdrawn > 64, withdrawn > queue.count / 2 else { return }
    queue = CircularBuffer(
      queue.filter { waiting in
        switch waiting {
        case .call(let call): call.state == .queued
        case .opening(let stream): !stream.machine.hasEnded
        case .output: true
        }
      })
    withdrawn = 0
  }

  // MARK: The end

  /// Fails all calls, then tells who wants to know. The first reason counts.
  ///
  /// - Parameter byUs: whether this side wanted it.
  func terminate(_ error: RPCError, byUs: Bool = false) {
    guard let entries = machine.close(error) else { return }
    deadlines.stop()
    watch.stop()
    let queued = queue
    queue = CircularBuffer()
    withdrawn = 0
    for case .call(let call) in entries { call.finish(.failure(error)) }
    for case .stream(let stream) in entries { finish(stream, .failure(error)) }
    for waiting in queued {
      switch waiting {
      case .call(let call): call.finish(.failure(error))
      case .opening(let stream): finish(stream, .failure(error))
      case .output: break
      }
    }
    closure.happened(byUs ? nil : error)
  }

  func close() {
    terminate(connectionClosed("was closed by this side"), byUs: true)
    context?.close(promise: nil)
  }

  func connectionClosed(_ how: String) -> RPCError {
    RPCError(
      code: .unavailable, message: "the connection to \(peerName) \(how)",
      reason: .connectionClosed, cause: lastError)
  }

  /// Sets whom to tell of the end. If that has come already, it is told now.
  func onClose(_ action: (@Sendable (RPCError?) -> Void)?) { closure.setAction(action) }

  func awaitClose(_ token: ClientClosure.Token, _ continuation: CheckedContinuation<Void, Never>) {
    closure.wait(token, continuation)
  }

  func stopAwaiting(_ token: ClientClosure.Token) { closure.stopWaiting(token) }

  func closeIfSpent() {
    guard machine.isSpent, waitingToBegin == 0 else { return }
    terminate(.idsUsedUp)
    context?.close(promise: nil)
  }

  // MARK: Channel events

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    deadlines.onExpiry = { [unowned self] in expired($0) }
    watch.giveUp = { [unowned self] in giveUp($0) }
    watch.fullest = { [unowned self] in fullest }
    watch.isShared = { [unowned self] in machine.waiting > 1 }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    terminate(connectionClosed("was closed"))
    self.context = nil
  }

  func channelActive(context: ChannelHandlerContext) {
    sendQueued(context)
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    decoder.append(unwrapInboundIn(data))
    receive(context)
  }

  func read(context: ChannelHandlerContext) {
    if watch.isHeld(context.eventLoop) { isReadHeld = true } else { context.read() }
  }

  /// Hands out what has been read, as far as the streams have room, and reads on when they have.
  private func receive(_ context: ChannelHandlerContext) {
    guard !isReceiving else { return }
    isReceiving = true
    while !watch.isHeld(context.eventLoop), let event = decoder.next() {
      switch machine.receive(event) {
      case .ends(let call, let outcome): finish(call, outcome)
      case .stream(let stream): receive(event, for: stream)
      case .ignored: break
      }
    }
    isReceiving = false
    closeIfSpent()
    if isReadHeld, !watch.isHeld(context.eventLoop) {
      isReadHeld = false
      context.read()
    }
  }

  func roomAgain() { if let context { receive(context) } }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    // A write that filled the channel says so from within: only room is news.
    if context.channel.isWritable {
      if isFlushing { scheduleFlush(context) } else { sendQueued(context) }
    }
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    let how =
      if decoder.isAtFrameBoundary {
        "was lost"
      } else if decoder.looksLikeHTTP2 {
        "was closed by a peer that speaks HTTP/2, as gRPC does: "
          + "for that write grpc+ in front of the address"
      } else {
        "was lost in the middle of a frame"
      }
    terminate(connectionClosed(how))
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    lastError = lastError ?? error
    context.close(promise: nil)
  }
}

extension RPCError {
  static func deadlinePassed(_ call: ClientCall) -> RPCError {
    let limit = call.timeout.map { " within \($0)" } ?? ""
    return RPCError(
      code: .deadlineExceeded, message: "\(call.method): no answer\(limit)", reason: .deadline)
  }
}
