import Logging
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
  /// Of the last request: the next one is often for the same.
  private var lastEntry: MethodTable.Entry?
  let configuration: TTRPCServer.Configuration
  /// Requests wait until it is known.
  private var peer: PeerIdentity?

  private var decoder = FrameDecoder()
  var writer = FrameWriter()
  var machine = ServerStateMachine()
  let deadlines = DeadlineTimer<ServerCall> { !$0.isAnswered }

  /// Handlers of unary calls that run, also those whose calls have been answered without them.
  var running = 0
  var runningBytes = 0
  /// Calls whose handlers are quick, until the requests that came with them have been looked at.
  var quick = CircularBuffer<(ServerCall, RPCUnaryHandler)>()
  /// Handlers have returned: ``goOn()`` will follow.
  var mustGoOn = false
  /// The same of streams, whose messages the watch counts: these bytes are their metadata.
  var runningStreams = 0
  var runningStreamBytes = 0
  /// Streams that wait for the channel to take more.
  var waitingStreams = CircularBuffer<ServerStream>()
  let watch: StreamWatch<ServerHandler>
  private var isReadHeld = false
  /// Whether anything has been read.
  private var hasBegun = false
  private(set) var isServing = false
  /// From the first read of a tick until all of its reads have been served.
  private var isReading = false
  /// Something has been written and not been flushed.
  private var isUnflushed = false
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
  private(set) var returns: HandlerReturns?

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

  /// What quick handlers put out counts for ``hasRoom(_:)`` after so many at the latest.
  private static let quickAtOnce = 64

  private func hasRoom(_ context: ChannelHandlerContext) -> Bool {
    peer != nil && context.channel.isWritable
      && (running == 0
        || running < configuration.maximumInFlight
          && runningBytes < configuration.maximumInFlightBytes)
      && !watch.isHeld(context.eventLoop)
  }

  private func noteOpenCalls() {
    connection?.open.store(machine.open, ordering: .relaxed)
  }

  /// Serves what has been read, as far as there is room, and reads on when there is.
  func serve(_ context: ChannelHandlerContext) {
    guard !isServing else { return }
    isServing = true
    repeat {
      while quick.count < Self.quickAtOnce, hasRoom(context), let event = decoder.next() {
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
    } while runQuick()
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
    if let lastEntry, lastEntry.leads(request) {
      entry = lastEntry
    } else {
      do throws(RPCError) {
        entry = try methods.find(request)
      } catch {
        return fail(id, error, context)
      }
      lastEntry = entry
    }
    let timeout = request.timeoutNanoseconds
    // The caller has given up already.
    guard timeout >= 0 else { return fail(id, .contextDeadlineExceeded, context) }
    var isStream = false
    if case .stream = entry.handler {
      isStream = true
      guard runningStreams < configuration.maximumStreams else {
        return fail(id, .tooManyStreams(configuration.maximumStreams), context)
      }
      // The connection cannot wait for streams to end, as it does for calls: it carries their data.
      guard runningStreamBytes < configuration.maximumInFlightBytes else {
        return fail(id, .streamsTooLarge(configuration.maximumInFlightBytes), context)
      }
    }
    let limit = timeout == 0 ? nil : Duration.nanoseconds(timeout)
    let call = ServerCall(
      id: id, deadline: limit.map { context.eventLoop.now + TimeAmount(clamping: $0) },
      payload: isStream ? ByteBuffer() : request.payload,
      context: RPCServerContext(
        method: entry.method, peer: peer ?? PeerIdentity(), metadata: request.metadata,
        timeout: limit),
      held: isStream ? request.metadataCost : request.heldBytes)
    machine.begin(call)
    noteOpenCalls()
    if let deadline = call.deadline {
      deadlines.insert(call, at: deadline, on: context.eventLoop)
    }
    switch entry.handler {
    case .unary(let handler): run(call, handler, on: entry.execution)
    case .stream(let kind, let handler):
      run(call, kind, on: entry.execution, handler, request.payload, flags, call.context)
    }
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
    isUnflushed = true
    if writer.wantsFlush { return flushNow() }
    // Who set one of these flushes.
    if !isReading, !mustGoOn { scheduleFlush(context) }
  }

  func scheduleFlush(_ context: ChannelHandlerContext) {
    isUnflushed = true
    guard !isFlushScheduled else { return }
    isFlushScheduled = true
    context.eventLoop.assumeIsolated().execute {
      self.isFlushScheduled = false
      self.flush()
      // Streams stop when the tick has written its share.
      if let context = self.context { self.resume(context) }
    }
  }

  func flush() { if isUnflushed, !isReading { flushNow() } }

  private func flushNow() {
    guard let context else { return }
    isUnflushed = false
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
    returns = .shared(on: context.eventLoop)
    deadlines.onExpiry = { [unowned self] in expired($0) }
    watch.giveUp = { [unowned self] in giveUp($0) }
    watch.fullest = { [unowned self] in fullest }
    watch.isShared = { [unowned self] in hasManyStreams }
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
    let bytes = unwrapInboundIn(data)
    if !hasBegun {
      hasBegun = true
      if let stranger = FirstBytes(bytes.readableBytesView), stranger != .ttrpc {
        return hangUp(on: stranger, context)
      }
    }
    isReading = true
    decoder.append(bytes)
    serve(context)
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    isReading = false
    flush()
    context.fireChannelReadComplete()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    // A write that filled the channel says so from within: only room is news.
    if context.channel.isWritable {
      if isFlushing { scheduleFlush(context) } else { resume(context) }
    }
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

  /// Its first bytes would pass for a frame of a gigabyte, which is waited for in vain.
  private func hangUp(on stranger: FirstBytes, _ context: ChannelHandlerContext) {
    configuration.logger?.notice(
      "A client was hung up on: it speaks \(stranger.rawValue), and this is ttrpc",
      metadata: ["peer": "\(peer.map(String.init(describing:)) ?? "not known yet")"])
    context.close(promise: nil)
  }

  /// Lets the calls under way finish, then closes the connection.
  func drain() {
    isDraining = true
    // Also with nothing to flush: the connection may be idle.
    isUnflushed = true
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

  fileprivate static func streamsTooLarge(_ limit: Int) -> RPCError {
    RPCError(
      code: .resourceExhausted,
      message: "the metadata of this connection's streams takes more than \(limit) bytes")
  }

  fileprivate static func tooManyStreams(_ limit: Int) -> RPCError {
    RPCError(
      code: .resourceExhausted,
      message: "this connection has \(limit) streams open, and may not have more")
  }
}
