import NIOCore
import RPCCore

/// What a client does for its streams. All of it on the event loop.
extension ClientHandler: StreamHost {
  // MARK: Opening

  func start(_ stream: ClientStream, _ opening: ClientStream.Opening) {
    guard stream.begin(opening) else { return }
    if let refusal = machine.refusal { return finish(stream, .failure(refusal)) }
    guard let context else {
      return finish(stream, .failure(connectionClosed("is not open")))
    }
    if let deadline = stream.deadline {
      guard deadline > context.eventLoop.now else {
        return finish(stream, .failure(.deadlinePassed(stream)))
      }
      deadlines.insert(.stream(stream), at: deadline, on: context.eventLoop)
    }
    if canSend {
      open(stream, context)
    } else {
      stream.isQueued = true
      enqueue(.opening(stream))
    }
  }

  func open(_ stream: ClientStream, _ context: ChannelHandlerContext) {
    var head = RequestHead(method: stream.method, metadata: stream.metadata)
    if let deadline = stream.deadline {
      head.timeoutNanoseconds = max(1, (deadline - context.eventLoop.now).nanoseconds)
    }
    let size = head.envelopeSize(payload: stream.request.readableBytes)
    guard size <= FrameHeader.maximumLength else { return end(stream, .oversize(size)) }
    switch machine.open(.stream(stream)) {
    case .refused(let error): end(stream, error)
    case .opened(let id):
      guard let flags = stream.machine.open() else { return machine.forget(id) }
      stream.id = id
      let payload = stream.request
      stream.request = ByteBuffer()
      writer.request(head, streamID: id, flags: flags, payload: payload) {
        context.write(wrapOutboundOut($0), promise: nil)
      }
      wrote(context)
      stream.opened()
    }
  }

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

  func writeEnd(_ id: UInt32) {
    guard let context else { return }
    writer.end(streamID: id)
    scheduleFlush(context)
  }

  func pump(_ stream: MessageStream<ClientHandler>) {
    guard !stream.isQueued, let stream = stream as? ClientStream else { return }
    continueOutput(stream)
  }

  func continueOutput(_ stream: ClientStream) {
    stream.isQueued = false
    guard !stream.machine.hasEnded, !stream.writeOutput() else { return }
    stream.isQueued = true
    enqueue(.output(stream))
  }

  // MARK: Receiving

  func receive(_ event: FrameDecoder.Event, for stream: ClientStream) {
    let receipt =
      switch event {
      case .frame(let header, let data): stream.machine.receive(header, data)
      case .oversize(let header): stream.machine.receiveOversize(Int(header.length))
      }
    switch receipt {
    case .ignored: break
    case .message(let message): stream.deliver(message)
    case .finished(let message):
      if let message { stream.deliver(message) }
      forget(stream)
      stream.end(.success(()), dropping: false)
    case .failed(let error):
      forget(stream)
      stream.end(.failure(error), dropping: false)
    }
  }

  func crowded(_ stream: MessageStream<ClientHandler>) { watch.add(stream) }

  func giveUp(_ stream: MessageStream<ClientHandler>) {
    guard let stream = stream as? ClientStream else { return }
    cancel(stream, .streamFull)
  }

  var fullest: ClientStream? {
    var found: (stream: ClientStream, cost: Int)?
    machine.forEachStream {
      let cost = $0.load.cost
      if cost > found?.cost ?? 0 { found = ($0, cost) }
    }
    return found?.stream
  }

  // MARK: The end

  /// The stream is given up on this side; the peer is not told (ttrpc cannot).
  func cancel(_ stream: ClientStream, _ error: RPCError) {
    end(stream, error)
    closeIfSpent()
  }

  func expired(_ stream: ClientStream) {
    end(stream, .deadlinePassed(stream), expired: true)
    closeIfSpent()
  }

  private func end(_ stream: ClientStream, _ error: RPCError, expired: Bool = false) {
    guard stream.machine.end() else { return }
    if stream.id == 0, stream.isQueued { withdraw() }
    forget(stream, expired: expired)
    stream.opened(error)
    stream.end(.failure(error), dropping: true)
  }

  private func forget(_ stream: ClientStream, expired: Bool = false) {
    if stream.id != 0 { machine.forget(stream.id) }
    // An expired stream's entry has been taken out of the queue already.
    if stream.deadline != nil, !expired { deadlines.forget() }
  }

  /// Ends a stream whose connection or opening has failed. What has come can still be taken.
  func finish(_ stream: ClientStream, _ end: Result<Void, RPCError>) {
    guard stream.machine.end() else { return }
    if case .failure(let error) = end { stream.opened(error) }
    stream.end(end, dropping: false)
  }
}

extension RPCError {
  fileprivate static func deadlinePassed(_ stream: ClientStream) -> RPCError {
    let limit = stream.timeout.map { " within \($0)" } ?? ""
    return RPCError(
      code: .deadlineExceeded, message: "\(stream.method): the stream has not ended\(limit)",
      reason: .deadline)
  }
}
