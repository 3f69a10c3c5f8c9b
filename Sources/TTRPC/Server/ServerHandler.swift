import NIOCore
import RPCCore
import TransportCore

/// A ttrpc server in a channel's pipeline: reads requests, runs handlers, writes their answers.
///
/// Everything here happens on the channel's event loop; handlers run where they were registered
/// for. The connection is not read while too many of its calls run or while the peer does not take
/// its answers, so a peer that floods or never reads holds a bounded amount of memory.
final class ServerHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let methods: MethodTable
  private let configuration: TTRPCServer.Configuration
  /// Requests wait until it is known.
  private var peer: PeerIdentity?

  private var decoder = FrameDecoder()
  private var writer = FrameWriter()
  private var machine = ServerStateMachine<ServerCall>()
  private var deadlines = DeadlineQueue<ServerCall> { !$0.isAnswered }
  private var timer: (task: Scheduled<Void>, at: NIODeadline)?

  /// Handlers that run, also those whose calls have been answered without them.
  private var running = 0
  private var runningBytes = 0
  private var isReadHeld = false
  private var isServing = false
  private var isFlushScheduled = false
  private var context: ChannelHandlerContext?
  private var executor: EventLoopTaskExecutor?
  private var pool: HandlerPool?
  private var mustGoOn = false
  /// From the first read of a tick until all of its reads have been served.
  private var isReading = false
  private var isUnflushed = false

  init(methods: MethodTable, configuration: TTRPCServer.Configuration, peer: PeerIdentity?) {
    self.methods = methods
    self.configuration = configuration
    self.peer = peer
  }

  // MARK: Requests

  /// Says who the peer is, and serves what has been read until now.
  func identify(_ peer: PeerIdentity) {
    self.peer = peer
    if let context { serve(context) }
  }

  private func hasRoom(_ context: ChannelHandlerContext) -> Bool {
    peer != nil && context.channel.isWritable
      && (running == 0
        || running < configuration.maximumInFlight
          && runningBytes < configuration.maximumInFlightBytes)
  }

  /// Serves what has been read, as far as there is room, and reads on when there is.
  private func serve(_ context: ChannelHandlerContext) {
    guard !isServing else { return }
    isServing = true
    while hasRoom(context), let event = decoder.next() {
      switch machine.receive(event) {
      case .serve(let id, let request): begin(id, request, context)
      case .refuse(let id, let error): fail(id, error, context)
      case .abort(let call, let id, let error):
        settle(call)
        fail(id, error, context)
      case .ignore: break
      }
    }
    isServing = false
    if isReadHeld, hasRoom(context) {
      isReadHeld = false
      context.read()
    }
  }

  private func begin(_ id: UInt32, _ request: RequestEnvelope, _ context: ChannelHandlerContext) {
    let entry: MethodTable.Entry
    do throws(RPCError) {
      entry = try methods.find(request)
    } catch {
      return fail(id, error, context)
    }
    let timeout = request.timeoutNanoseconds
    // The caller has given up already.
    guard timeout >= 0 else { return fail(id, .contextDeadlineExceeded, context) }
    let limit = timeout == 0 ? nil : Duration.nanoseconds(timeout)
    let call = ServerCall(
      id: id, deadline: limit.map { context.eventLoop.now + TimeAmount(clamping: $0) })
    machine.begin(call, id)
    if let deadline = call.deadline {
      deadlines.insert(call, at: deadline)
      armTimer(context)
    }
    run(
      call, on: entry.execution,
      ServerInvocation(
        handler: entry.handler, payload: request.payload,
        context: RPCServerContext(
          method: entry.method, peer: peer ?? PeerIdentity(), metadata: request.metadata,
          timeout: limit)))
  }

  private func run(
    _ call: ServerCall, on execution: RPCExecution, _ invocation: ServerInvocation
  ) {
    let (id, bytes) = (call.id, invocation.payload.readableBytes)
    running += 1
    runningBytes += bytes
    guard let executor, let pool else { return }
    let handler = NIOLoopBound(self, eventLoop: executor.eventLoop)
    let task: Task<Void, Never>
    switch execution {
    case .pool:
      pool.begin()
      task = Task(executorPreference: pool) {
        let result = await invocation.run()
        pool.giveBack(ServerReturn(connection: handler, id: id, bytes: bytes, result: result))
      }
    case .eventLoop:
      task = Task.immediate(executorPreference: executor) {
        let result = await invocation.run()
        if executor.eventLoop.inEventLoop {
          handler.value.ended(id, bytes, result)
          handler.value.goOn()
        } else {
          executor.eventLoop.execute {
            handler.value.ended(id, bytes, result)
            handler.value.goOn()
          }
        }
      }
    }
    if !call.isAnswered { call.task = task }
  }

  /// Answers a call whose handler has returned.
  ///
  /// - Returns: whether ``goOn()`` must follow, unless it was said before.
  @discardableResult
  func ended(_ id: UInt32, _ bytes: Int, _ result: Result<ByteBuffer, RPCError>) -> Bool {
    running -= 1
    runningBytes -= bytes
    guard let context else { return false }
    // While requests are served, that goes on anyway.
    let isFirst = !mustGoOn && !isServing
    if isFirst { mustGoOn = true }
    // A call that is not there was answered before: its deadline passed, or the peer broke it off.
    if let call = machine.finish(id) {
      call.task = nil
      settle(call)
      answer(id, result, context)
    }
    return isFirst
  }

  /// Makes use of the room that handlers have left by returning.
  func goOn() {
    guard mustGoOn, !isServing, let context else { return }
    serve(context)
    mustGoOn = false
    if isUnflushed, !isReading { flush() }
  }

  /// Notes that a call needs no handler any more.
  private func settle(_ call: ServerCall, expired: Bool = false) {
    call.isAnswered = true
    call.task?.cancel()
    call.task = nil
    // An expired call's entry has been taken out of the queue already.
    if call.deadline != nil, !expired { deadlines.forget() }
  }

  // MARK: Answers

  private func answer(
    _ id: UInt32, _ result: Result<ByteBuffer, RPCError>, _ context: ChannelHandlerContext
  ) {
    switch result {
    case .failure(let error): fail(id, error, context)
    case .success(let payload):
      let size = ResponseHead.successSize(payload: payload.readableBytes)
      guard size <= FrameHeader.maximumLength else { return fail(id, .oversize(size), context) }
      writer.success(streamID: id, payload: payload) {
        context.write(wrapOutboundOut($0), promise: nil)
      }
      wrote(context)
    }
  }

  private func fail(_ id: UInt32, _ error: RPCError, _ context: ChannelHandlerContext) {
    let size = ResponseHead.failureSize(error)
    writer.failure(
      streamID: id, size <= FrameHeader.maximumLength ? error : .oversize(size))
    wrote(context)
  }

  private func wrote(_ context: ChannelHandlerContext) {
    isUnflushed = true
    if writer.wantsFlush { return flush() }
    // Whoever set these flushes.
    guard !isReading, !mustGoOn, !isFlushScheduled else { return }
    isFlushScheduled = true
    context.eventLoop.assumeIsolated().execute {
      self.isFlushScheduled = false
      self.flush()
    }
  }

  private func flush() {
    guard isUnflushed, let context else { return }
    isUnflushed = false
    writer.emit { context.write(wrapOutboundOut($0), promise: nil) }
    context.flush()
    writer.recycle()
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
      guard machine.finish(call.id) != nil else { continue }
      settle(call, expired: true)
      fail(call.id, .contextDeadlineExceeded, context)
    }
    armTimer(context)
  }

  // MARK: Channel events

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    executor = .shared(on: context.eventLoop)
    pool = .shared(on: context.eventLoop)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    terminate()
    self.context = nil
  }

  func read(context: ChannelHandlerContext) {
    if hasRoom(context) { context.read() } else { isReadHeld = true }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    isReading = true
    decoder.append(unwrapInboundIn(data))
    serve(context)
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    isReading = false
    flush()
    context.fireChannelReadComplete()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    serve(context)
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    terminate()
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // The connection is beyond use; what was under way is cancelled when it has closed.
    context.close(promise: nil)
  }

  private func terminate() {
    timer?.task.cancel()
    timer = nil
    for call in machine.close() { settle(call) }
    deadlines.removeAll()
  }
}

extension RPCError {
  /// What Go's server says when a handler's deadline has passed.
  static var contextDeadlineExceeded: RPCError {
    RPCError(code: .deadlineExceeded, message: "context deadline exceeded")
  }
}
