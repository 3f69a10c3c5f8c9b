import NIOCore
import RPCCore

/// A ttrpc client in a channel's pipeline: writes requests, hands answers to who waits for them.
///
/// Everything here happens on the channel's event loop. What is written in one tick leaves in one
/// flush, which stands behind the calls that the tick's answers have woken.
final class ClientHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private var decoder = FrameDecoder()
  private var writer = FrameWriter()
  private var machine: ClientStateMachine<ClientCall>
  private var deadlines = DeadlineQueue<ClientCall> { $0.state != .finished }
  private var timer: (task: Scheduled<Void>, at: NIODeadline)?
  /// Calls that wait for the channel to take more. Those withdrawn since are still in it.
  private var queue = CircularBuffer<ClientCall>()
  private var withdrawn = 0

  private var context: ChannelHandlerContext?
  private var isFlushScheduled = false
  private var lastError: (any Error)?
  private var closure = ClientClosure()

  /// What messages call the other end.
  private let peerName: String

  init(peerName: String, firstID: UInt32 = 1) {
    self.peerName = peerName
    machine = ClientStateMachine(firstID: firstID)
  }

  /// How many calls wait for an answer, or to be sent.
  var pendingCalls: Int { machine.waiting + queue.count - withdrawn }

  // MARK: Calls

  func start(_ call: ClientCall, _ continuation: UnsafeContinuation<ClientCall.Outcome, Never>) {
    guard call.begin(continuation) else { return }
    if let refusal = machine.refusal { return call.finish(.failure(refusal)) }
    guard let context else { return call.finish(.failure(connectionClosed("is not open"))) }
    if let deadline = call.deadline {
      guard deadline > context.eventLoop.now else {
        return call.finish(.failure(.deadlinePassed(call)))
      }
      deadlines.insert(call, at: deadline)
      armTimer(context)
    }
    if queue.isEmpty, context.channel.isActive, context.channel.isWritable {
      send(call, context)
    } else {
      call.state = .queued
      queue.append(call)
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
    switch machine.open(call) {
    case .refused(let error):
      end(call, .failure(error))
    case .opened(let id):
      let payload = call.payload
      call.payload = ByteBuffer()
      call.state = .waiting(id)
      writer.request(head, streamID: id, payload: payload) {
        context.write(wrapOutboundOut($0), promise: nil)
      }
      if writer.wantsFlush { flush() } else { scheduleFlush(context) }
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

  private func finish(_ call: ClientCall, _ outcome: ClientCall.Outcome, expired: Bool = false) {
    let hadDeadline = call.deadline != nil && call.state != .new
    call.finish(outcome)
    // An expired call's entry has been taken out of the queue already.
    if hadDeadline, !expired { deadlines.forget() }
  }

  // MARK: Sending

  private func scheduleFlush(_ context: ChannelHandlerContext) {
    guard !isFlushScheduled else { return }
    isFlushScheduled = true
    context.eventLoop.assumeIsolated().execute { self.flush() }
  }

  private func flush() {
    isFlushScheduled = false
    guard let context else { return }
    writer.emit { context.write(wrapOutboundOut($0), promise: nil) }
    context.flush()
    writer.recycle()
  }

  private func sendQueued(_ context: ChannelHandlerContext) {
    while context.channel.isActive, context.channel.isWritable, let call = queue.popFirst() {
      if call.state == .queued { send(call, context) } else { withdrawn -= 1 }
    }
  }

  /// Keeps a queue that nobody drains, since the peer does not read, from filling with calls that
  /// have long been given up.
  private func dropWithdrawn() {
    guard withdrawn > 64, withdrawn > queue.count / 2 else { return }
    queue = CircularBuffer(queue.filter { $0.state == .queued })
    withdrawn = 0
  }

  // MARK: Deadlines

  private func armTimer(_ context: ChannelHandlerContext) {
    guard let next = deadlines.next() else { return }
    if let timer {
      guard next < timer.at else { return }
      timer.task.cancel()
    }
    let task = context.eventLoop.assumeIsolated().scheduleTask(deadline: next) { self.expire() }
    timer = (task, next)
  }

  private func expire() {
    timer = nil
    guard let context else { return }
    while let call = deadlines.popExpired(at: context.eventLoop.now) {
      end(call, .failure(.deadlinePassed(call)), expired: true)
    }
    armTimer(context)
  }

  // MARK: The end

  /// Fails all calls, then tells who wants to know. The first reason counts.
  ///
  /// - Parameter byUs: whether this side wanted it.
  func terminate(_ error: RPCError, byUs: Bool = false) {
    guard let calls = machine.close(error) else { return }
    timer?.task.cancel()
    timer = nil
    deadlines.removeAll()
    let queued = queue
    queue = CircularBuffer()
    withdrawn = 0
    for call in calls { call.finish(.failure(error)) }
    for call in queued { call.finish(.failure(error)) }
    closure.happened(byUs ? nil : error)
  }

  func close() {
    terminate(connectionClosed("was closed by this side"), byUs: true)
    context?.close(promise: nil)
  }

  private func connectionClosed(_ how: String) -> RPCError {
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

  private func closeIfSpent() {
    guard machine.isSpent, queue.count == withdrawn else { return }
    terminate(.idsUsedUp)
    context?.close(promise: nil)
  }

  // MARK: Channel events

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

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
    while let event = decoder.next() {
      guard let (call, outcome) = machine.receive(event) else { continue }
      finish(call, outcome)
    }
    closeIfSpent()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    sendQueued(context)
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    let how = decoder.isAtFrameBoundary ? "was lost" : "was lost in the middle of a frame"
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
