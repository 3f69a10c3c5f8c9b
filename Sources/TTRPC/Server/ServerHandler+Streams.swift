import NIOCore
import RPCCore
import TransportCore

/// What a server does for its streams. All of it on the event loop.
extension ServerHandler: StreamHost {
  // MARK: Handlers

  func run(
    _ call: ServerCall, _ kind: RPCStreamKind, on execution: RPCExecution,
    _ handler: @escaping RPCStreamHandler, _ payload: ByteBuffer, _ flags: FrameFlags,
    _ context: RPCServerContext
  ) {
    guard let executor else { return }
    let host = NIOLoopBound(self, eventLoop: executor.eventLoop)
    let stream = ServerStream(
      call.id, kind, host: host, loop: executor.eventLoop, account: watch.account)
    call.stream = stream
    if let first = stream.machine.open(flags, payload) { stream.deliver(first) }
    if kind == .serverStreaming { stream.endInput() }
    let bytes = call.held
    let invocation = ServerStreamInvocation(handler: handler, stream: stream, context: context)
    runningStreams += 1
    runningStreamBytes += bytes
    let task: Task<Void, Never>
    switch execution {
    case .pool:
      task = Task {
        let result = await invocation.run()
        executor.eventLoop.execute { host.value.returned(stream, bytes, result) }
      }
    case .eventLoop:
      task = Task.immediate(executorPreference: executor) {
        let result = await invocation.run()
        if executor.eventLoop.inEventLoop {
          host.value.returned(stream, bytes, result)
        } else {
          executor.eventLoop.execute { host.value.returned(stream, bytes, result) }
        }
      }
    }
    if !call.isAnswered { call.task = task }
  }

  /// The handler has returned: what it has put out is written, and then how it ended.
  private func returned(
    _ stream: ServerStream, _ bytes: Int, _ result: Result<ByteBuffer?, RPCError>
  ) {
    runningStreams -= 1
    runningStreamBytes -= bytes
    guard !stream.machine.hasEnded else { return }
    if let cancellation = stream.cancellation, case .success = result {
      stream.result = .failure(cancellation)
    } else {
      stream.result = result
    }
    stream.pumpToEnd()
  }

  /// The handler gives its stream up, and will return.
  func cancel(_ stream: ServerStream, _ error: RPCError) {
    guard !stream.machine.hasEnded, stream.cancellation == nil else { return }
    stream.cancellation = error
    machine.call(stream.id)?.task?.cancel()
    stream.end(.failure(error), dropping: true)
  }

  /// Writes how the handler ended. Its messages have been written.
  func conclude(_ stream: ServerStream, _ result: Result<ByteBuffer?, RPCError>) {
    guard let context, let ending = stream.machine.returned(result) else { return }
    if let call = machine.finish(stream.id) { settle(call) }
    switch ending {
    case .response(let payload): answer(stream.id, .success(payload), context)
    case .error(let error): answer(stream.id, .failure(error), context)
    case .end:
      writer.end(streamID: stream.id)
      scheduleFlush(context)
    }
  }

  /// Ends a stream without its handler, and answers it.
  func abort(_ stream: ServerStream, _ error: RPCError) {
    guard let context, !stream.machine.hasEnded, let call = machine.finish(stream.id) else {
      return
    }
    settle(call, error)
    fail(stream.id, error, context)
  }

  /// The call is over: whoever still uses its stream is told.
  func settle(_ stream: ServerStream, _ error: RPCError) {
    _ = stream.machine.end()
    stream.end(.failure(error), dropping: true)
  }

  // MARK: Receiving

  /// - Parameter data: nil when the frame was too large and has been dropped.
  func receive(_ header: FrameHeader, _ data: ByteBuffer?, for stream: ServerStream) {
    guard let data else { return abort(stream, .oversize(Int(header.length))) }
    switch stream.machine.receive(FrameFlags(rawValue: header.flags), data) {
    case .ignored: break
    case .message(let message): stream.deliver(message)
    case .last(let message):
      if let message { stream.deliver(message) }
      stream.endInput()
    case .refused(let text):
      guard let context else { return }
      fail(stream.id, RPCError(code: .invalidArgument, message: text), context)
    }
  }

  func crowded(_ stream: MessageStream<ServerHandler>) { watch.add(stream) }

  func giveUp(_ stream: MessageStream<ServerHandler>) {
    guard let stream = stream as? ServerStream else { return }
    var error = RPCError.streamFull
    error.message = "data handling error: \(error.message)"
    abort(stream, error)
  }

  var fullest: ServerStream? {
    var found: (stream: ServerStream, cost: Int)?
    machine.forEachStream {
      let cost = $0.load.cost
      if cost > found?.cost ?? 0 { found = ($0, cost) }
    }
    return found?.stream
  }

  /// Requests of calls have been read as a whole; streams wait for more of theirs.
  var hasManyStreams: Bool {
    var count = 0
    machine.forEachStream { _ in count += 1 }
    return count > 1
  }

  func roomAgain() { if let context { serve(context) } }

  // MARK: Sending

  var canSend: Bool {
    guard let channel = context?.channel else { return false }
    return channel.isWritable && channel.isActive && !writer.wantsFlush
  }

  func writeData(_ id: UInt32, _ message: ByteBuffer) {
    guard let context else { return }
    writer.data(streamID: id, message: message) {
      context.write(wrapOutboundOut($0), promise: nil)
    }
    // Not at once when there is enough: streams get their turns, and what came in gets its.
    scheduleFlush(context)
  }

  func pump(_ stream: MessageStream<ServerHandler>) {
    guard !stream.isQueued, let stream = stream as? ServerStream else { return }
    continueOutput(stream)
  }

  /// Goes on with the streams that waited for the channel to take more, in turn.
  func continueStreams() {
    while !waitingStreams.isEmpty, canSend, let stream = waitingStreams.popFirst() {
      continueOutput(stream)
    }
  }

  private func continueOutput(_ stream: ServerStream) {
    stream.isQueued = false
    guard !stream.machine.hasEnded, !stream.writeOutput() else { return }
    stream.isQueued = true
    waitingStreams.append(stream)
  }
}
