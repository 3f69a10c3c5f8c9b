import NIOCore
import RPCCore
import Synchronization
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
  let configuration: TTRPCServer.Configuration
  /// Requests wait until it is known.
  private var peer: PeerIdentity?

  private var decoder = FrameDecoder()
  var writer = FrameWriter()
  var machine = ServerStateMachine()
  let deadlines = DeadlineTimer<ServerCall> { !$0.isAnswered }

  /// Handlers that run, also those whose calls have been answered without them.
  private var running = 0
  private var runningBytes = 0
  /// The same of streams.
  var runningStreams = 0
  /// Streams that wait for the channel to take more.
  var waitingStreams = CircularBuffer<ServerStream>()
  let watch: StreamWatch<ServerHandler>
  private var isReadHeld = false
  private var isServing = false
  /// Whether no more calls may begin: the connection is closed when those under way have ended.
  private var isDraining = false
  private var isClosing = false
  /// Tells the server's control how many calls are open.
  var connection: ServerConnection?
  private var isFlushScheduled = false
  /// What the flush lets somebody write must wait until the writer is ready for it again.
  private var isFlushing = false
  private(set) var context: ChannelHandlerContext?
  private(set) var executor: EventLoopTaskExecutor?

  init(methods: MethodTable, configuration: TTRPCServer.Configuration, peer: PeerIdentity?) {
    self.methods = methods
    self.configuration = configuration
    self.peer = peer
    watch = StreamWatch(configuration.streams)
  }

  /// How many calls and streams have not been answered.
  var pendingCalls: Int { machine.open }

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
      && !watch.isHeld(context.eventLoop)
  }

  private func noteOpenCalls() {
    connection?.calls.store(machine.open, ordering: .relaxed)
  }

  /// Serves what has been read, as far as there is room, and reads on when there is.
  func serve(_ context: ChannelHandlerContext) {
    guard !isServing else { return }
    isServing = true
    while hasRoom(context), let event = decoder.next() {
      switch machine.receive(event) {
      case .serve(let id, let flags, let request): begin(id, flags, request, context)
      case .data(let stream, let header, let data): receive(header, data, for: stream)
      case .refuse(let id, let error): fail(id, error, context)
      case .abort(let call, let id, let error):
        settle(call, error)
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

  private func begin(
    _ id: UInt32, _ flags: FrameFlags, _ request: RequestEnvelope, _ context: ChannelHandlerContext
  ) {
    guard !isDraining else { return fail(id, .shuttingDown, context) }
    let entry: MethodTable.Entry
    do throws(RPCError) {
      entry = try methods.find(request)
    } catch {
      return fail(id, error, context)
    }
    let timeout = request.timeoutNanoseconds
    // The caller has given up already.
    guard timeout >= 0 else { return fail(id, .contextDeadlineExceeded, context) }
    if case .stream = entry.handler, runningStreams >= configuration.maximumStreams {
      return fail(id, .tooManyStreams(configuration.maximumStreams), context)
    }
    let limit = timeout == 0 ? nil : Duration.nanoseconds(timeout)
    let call = ServerCall(
      id: id, deadline: limit.map { context.eventLoop.now + TimeAmount(clamping: $0) })
    machine.begin(call)
    noteOpenCalls()
    if let deadline = call.deadline {
      deadlines.insert(call, at: deadline, on: context.eventLoop)
    }
    let known = RPCServerContext(
      method: entry.method, peer: peer ?? PeerIdentity(), metadata: request.metadata,
      timeout: limit)
    switch entry.handler {
    case .unary(let handler):
      run(
        call, on: entry.execution,
        ServerInvocation(handler: handler, payload: request.payload, context: known))
    case .stream(let kind, let handler):
      run(call, kind, on: entry.execution, handler, request.payload, flags, known)
    }
  }

  private func run(
    _ call: ServerCall, on execution: RPCExecution, _ invocation: ServerInvocation
  ) {
    let (id, bytes) = (call.id, invocation.payload.readableBytes)
    running += 1
    runningBytes += bytes
    guard let executor else { return }
    let handler = NIOLoopBound(self, eventLoop: executor.eventLoop)
    let task: Task<Void, Never>
    switch execution {
    case .pool:
      task = Task {
        let result = await invocation.run()
        executor.eventLoop.execute { handler.value.ended(id, bytes, result) }
      }
    case .eventLoop:
      task = Task.immediate(executorPreference: executor) {
        let result = await invocation.run()
        if executor.eventLoop.inEventLoop {
          handler.value.ended(id, bytes, result)
        } else {
          executor.eventLoop.execute { handler.value.ended(id, bytes, result) }
        }
      }
    }
    if !call.isAnswered { call.task = task }
  }

  private func ended(_ id: UInt32, _ bytes: Int, _ result: Result<ByteBuffer, RPCError>) {
    running -= 1
    runningBytes -= bytes
    guard let context else { return }
    // A call that is not there was answered before: its deadline passed, or the peer broke it off.
    if let call = machine.finish(id) {
      settle(call)
      answer(id, result, context)
    }
    serve(context)
  }

  /// Notes that a call needs no handler any more.
  func settle(
    _ call: ServerCall, _ error: RPCError = .contextCanceled, expired: Bool = false
  ) {
    call.isAnswered = true
    noteOpenCalls()
    call.task?.cancel()
    call.task = nil
    if let stream = call.stream {
      call.stream = nil
      settle(stream, error)
    }
    // An expired call's entry has been taken out of the queue already.
    if call.deadline != nil, !expired { deadlines.forget() }
  }

  // MARK: Answers

  func answer(
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

  func fail(_ id: UInt32, _ error: RPCError, _ context: ChannelHandlerContext) {
    let size = ResponseHead.failureSize(error)
    writer.failure(
      streamID: id, size <= FrameHeader.maximumLength ? error : .oversize(size))
    wrote(context)
  }

  private func wrote(_ context: ChannelHandlerContext) {
    if writer.wantsFlush { flush() } else { scheduleFlush(context) }
  }

  func scheduleFlush(_ context: ChannelHandlerContext) {
    guard !isFlushScheduled else { return }
    isFlushScheduled = true
    context.eventLoop.assumeIsolated().execute {
      self.isFlushScheduled = false
      self.flush()
      // Streams stop when the tick has written its share.
      if let context = self.context { self.resume(context) }
    }
  }

  private func flush() {
    guard let context else { return }
    writer.emit { context.write(wrapOutboundOut($0), promise: nil) }
    isFlushing = true
    context.flush()
    isFlushing = false
    writer.recycle()
    if isDraining, machine.open == 0 { finish(context) }
  }

  /// Goes on with what had to wait for the channel to take more.
  private func resume(_ context: ChannelHandlerContext) {
    continueStreams()
    serve(context)
  }

  private func expired(_ call: ServerCall) {
    guard let context, machine.finish(call.id) != nil else { return }
    settle(call, .contextDeadlineExceeded, expired: true)
    fail(call.id, .contextDeadlineExceeded, context)
  }

  // MARK: Channel events

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    executor = .shared(on: context.eventLoop)
    deadlines.onExpiry = { [unowned self] in expired($0) }
    watch.giveUp = { [unowned self] in giveUp($0) }
    watch.fullest = { [unowned self] in fullest }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    terminate()
    self.context = nil
    connection = nil
  }

  func read(context: ChannelHandlerContext) {
    if hasRoom(context) { context.read() } else { isReadHeld = true }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    decoder.append(unwrapInboundIn(data))
    serve(context)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if isFlushing { scheduleFlush(context) } else { resume(context) }
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

  /// Lets the calls under way finish, then closes the connection.
  func drain() {
    isDraining = true
    flush()
  }

  /// Closes the connection when the network has taken all that was written.
  private func finish(_ context: ChannelHandlerContext) {
    guard !isClosing else { return }
    isClosing = true
    let written = context.eventLoop.makePromise(of: Void.self)
    let channel = context.channel
    written.futureResult.whenComplete { _ in channel.close(promise: nil) }
    context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: written)
  }

  private func terminate() {
    for call in machine.close() { settle(call) }
    deadlines.stop()
    watch.stop()
    waitingStreams.removeAll()
  }
}

extension RPCError {
  /// What Go's server says when a handler's deadline has passed.
  static var contextDeadlineExceeded: RPCError {
    RPCError(code: .deadlineExceeded, message: "context deadline exceeded")
  }

  /// What Go's server says when the connection is lost or the call is over.
  static var contextCanceled: RPCError {
    RPCError(code: .cancelled, message: "context canceled", reason: .cancelled)
  }

  fileprivate static var shuttingDown: RPCError {
    RPCError(code: .unavailable, message: "the server is shutting down")
  }

  fileprivate static func tooManyStreams(_ limit: Int) -> RPCError {
    RPCError(
      code: .resourceExhausted,
      message: "this connection has \(limit) streams open, and may not have more")
  }
}
