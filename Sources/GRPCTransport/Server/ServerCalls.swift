#if GRPC
  internal import GRPCCore
  internal import GRPCNIOTransportHTTP2Posix
  internal import NIOCore
  internal import RPCCore
  internal import Synchronization
  internal import TransportCore

  /// Serves the calls of one connection.
  struct ServerCalls: Sendable {
    typealias Bytes = GRPCNIOTransportBytes
    typealias Inbound = RPCAsyncSequence<RPCRequestPart<Bytes>, any Error>
    typealias Outbound = GRPCCore.RPCWriter<RPCResponsePart<Bytes>>.Closable

    let methods: MethodTable
    let peer: PeerIdentity
    let link: ServerLink
    let maximumMessageBytes: Int
    private let loop: any EventLoop
    private let executor: EventLoopTaskExecutor

    init(
      methods: MethodTable, connection: Connection, link: ServerLink, maximumMessageBytes: Int
    ) {
      self.methods = methods
      self.peer = connection.peer
      self.link = link
      self.maximumMessageBytes = maximumMessageBytes
      loop = connection.channel.eventLoop
      executor = EventLoopTaskExecutor(loop)
    }

    func serve(_ stream: GRPCCore.RPCStream<Inbound, Outbound>) async {
      link.open.add(1, ordering: .relaxed)
      defer { link.open.subtract(1, ordering: .relaxed) }
      var requests = stream.inbound.makeAsyncIterator()
      do {
        guard case .metadata(let metadata)? = try await requests.next() else { return }
        let entry = try methods.find(
          service: stream.descriptor.service.fullyQualifiedService,
          method: stream.descriptor.method)
        let context = RPCServerContext(
          method: entry.method, peer: peer, metadata: metadata.custom, timeout: metadata.timeout)
        switch entry.handler {
        case .unary(let handler):
          let request = try await only(&requests, entry.method)
          let response = try await outcome(entry, context) {
            try await handler(request, context)
          }.get()
          try check(response, entry.method)
          await finish(stream.outbound, [.metadata([:]), .message(Bytes(response))], nil)
        case .stream(_, let handler):
          try await serve(
            stream.outbound, Requests(requests, entry.method, maximumMessageBytes), entry, context,
            handler)
        }
      } catch {
        await finish(stream.outbound, [], RPCError(error))
      }
    }

    /// The one message of a unary call.
    private func only(
      _ requests: inout Inbound.AsyncIterator, _ method: RPCMethod
    ) async throws -> ByteBuffer {
      guard case .message(let bytes)? = try await requests.next() else {
        throw RPCError(
          code: .internal, message: "the call came without a message", reason: .protocolViolation)
      }
      guard try await requests.next() == nil else {
        throw RPCError(
          code: .internal, message: "the call came with more than one message",
          reason: .protocolViolation)
      }
      try Self.check(bytes, method, maximumMessageBytes)
      return bytes.asBuffer
    }

    /// The library lets somewhat larger ones through, so that they can be answered.
    static func check(_ request: Bytes, _ method: RPCMethod, _ most: Int) throws(RPCError) {
      guard request.count <= most else {
        throw RPCError(
          code: .resourceExhausted,
          message: "\(method): a message of \(request.count) bytes is larger than the \(most) that "
            + "this side takes", reason: .oversize)
      }
    }

    func check(_ response: ByteBuffer, _ method: RPCMethod) throws(RPCError) {
      guard response.readableBytes <= maximumMessageBytes else {
        throw RPCError(
          code: .resourceExhausted,
          message: "\(method): a message of \(response.readableBytes) bytes is larger than the "
            + "\(maximumMessageBytes) that this side sends",
          reason: .oversize)
      }
    }

    /// Ends a call. A peer that has gone, which is what a failed write means, needs no answer.
    func finish(
      _ outbound: Outbound, _ parts: [RPCResponsePart<Bytes>], _ error: RPCError?
    ) async {
      let status: RPCResponsePart<Bytes> =
        error.map { .status(Status($0), Metadata(trailersOf: $0)) }
        ?? .status(Status(code: .ok, message: ""), [:])
      try? await outbound.write(contentsOf: parts + [status])
      await outbound.finish()
    }

    // MARK: Handlers

    /// Runs a handler until it returns or its caller has given up, whichever is first. Its task is
    /// cancelled then, and when the peer cancels the call or its connection is lost.
    func outcome<Value: Sendable>(
      _ entry: MethodTable.Entry, _ context: RPCServerContext,
      _ handler: @escaping @Sendable () async throws -> Value
    ) async -> Result<Value, RPCError> {
      let latch = Latch<Result<Value, RPCError>>()
      let task = Task(executorPreference: entry.execution == .eventLoop ? executor : nil) {
        do {
          latch.set(.success(try await handler()))
        } catch {
          latch.set(.failure(RPCError(error)))
        }
      }
      let alarm = context.deadline.map { deadline in
        Task {
          // Cancelled when the handler returned first.
          guard await loop.sleep(for: deadline - .now) else { return }
          latch.set(
            .failure(
              RPCError(
                code: .deadlineExceeded, message: "context deadline exceeded", reason: .deadline)))
          task.cancel()
        }
      }
      defer { alarm?.cancel() }
      return await withTaskCancellationHandler {
        await withRPCCancellationHandler {
          await latch.value()
        } onCancelRPC: {
          task.cancel()
        }
      } onCancel: {
        task.cancel()
      }
    }

    private func serve(
      _ outbound: Outbound, _ requests: Requests, _ entry: MethodTable.Entry,
      _ context: RPCServerContext, _ handler: @escaping RPCStreamHandler
    ) async throws {
      let stream = GRPCServerStream(entry.method, outbound, maximumMessageBytes)
      try await outbound.write(.metadata([:]))
      let pump = Task { await requests.pump(into: stream.inbox) }
      let outcome = await outcome(entry, context) { try await handler(stream, context) }
      stream.handlerReturned()
      pump.cancel()
      switch outcome {
      case .failure(let error): await finish(outbound, [], error)
      case .success(nil): await finish(outbound, [], nil)
      case .success(let response?):
        try check(response, entry.method)
        await finish(outbound, [.message(Bytes(response))], nil)
      }
    }
  }

  /// The rest of a stream's requests, on the way to the task that reads them.
  ///
  /// @unchecked: it is made by one task and used by one other from then on.
  private final class Requests: @unchecked Sendable {
    private var iterator: ServerCalls.Inbound.AsyncIterator
    private let method: RPCMethod
    private let most: Int

    init(_ iterator: ServerCalls.Inbound.AsyncIterator, _ method: RPCMethod, _ most: Int) {
      self.iterator = iterator
      self.method = method
      self.most = most
    }

    func pump(into inbox: StreamInbox) async {
      do {
        while let part = try await iterator.next() {
          guard case .message(let bytes) = part else { continue }
          try ServerCalls.check(bytes, method, most)
          await inbox.deliver(bytes.asBuffer)
        }
        inbox.end(Task.isCancelled ? .failure(.streamCancelled) : .success(()))
      } catch {
        inbox.end(.failure(error as? RPCError ?? .streamCancelled))
      }
    }
  }

  extension RPCError {
    fileprivate static var streamCancelled: RPCError {
      RPCError(
        code: .cancelled, message: "the caller has ended the call, or its connection was lost",
        reason: .cancelled)
    }
  }

  /// A server's end of a stream.
  final class GRPCServerStream: RPCStream {
    let inbox = StreamInbox()
    private let method: RPCMethod
    private let outbound: ServerCalls.Outbound
    private let maximumMessageBytes: Int
    private let isOver = Atomic<Bool>(false)

    init(_ method: RPCMethod, _ outbound: ServerCalls.Outbound, _ maximumMessageBytes: Int) {
      self.method = method
      self.outbound = outbound
      self.maximumMessageBytes = maximumMessageBytes
    }

    func handlerReturned() {
      isOver.store(true, ordering: .releasing)
      inbox.end(.failure(.streamCancelled), dropping: true)
    }

    nonisolated(nonsending) func send(_ message: ByteBuffer) async throws(RPCError) {
      guard message.readableBytes <= maximumMessageBytes else {
        throw RPCError(
          code: .resourceExhausted,
          message: "\(method): a message of \(message.readableBytes) bytes is larger than the "
            + "\(maximumMessageBytes) that this side sends",
          reason: .oversize)
      }
      guard !isOver.load(ordering: .acquiring) else {
        throw RPCError(
          code: .failedPrecondition, message: "\(method): the call has been answered already")
      }
      do {
        try await outbound.write(.message(GRPCNIOTransportBytes(message)))
      } catch {
        throw Task.isCancelled
          ? .streamCancelled
          : RPCError(
            code: .unavailable, message: "\(method): the caller has gone",
            reason: .connectionClosed, cause: error)
      }
    }

    /// A server's side is finished by its handler's return.
    nonisolated(nonsending) func finishSending() async throws(RPCError) {}

    nonisolated(nonsending) func next() async throws(RPCError) -> ByteBuffer? {
      try await inbox.next()
    }

    func cancel() { handlerReturned() }
  }

  /// A value that is set once; later ones are dropped. One task waits for it.
  private final class Latch<Value: Sendable>: Sendable {
    private enum State {
      case empty
      case waiting(CheckedContinuation<Value, Never>)
      case set(Value)
      case taken
    }

    private let state = Mutex(State.empty)

    func set(_ value: Value) {
      let waiter = state.withLock { state -> CheckedContinuation<Value, Never>? in
        switch state {
        case .empty:
          state = .set(value)
          return nil
        case .waiting(let waiter):
          state = .taken
          return waiter
        case .set, .taken: return nil
        }
      }
      waiter?.resume(returning: value)
    }

    func value() async -> Value {
      await withCheckedContinuation { continuation in
        let value = state.withLock { state -> Value? in
          guard case .set(let value) = state else {
            state = .waiting(continuation)
            return nil
          }
          state = .taken
          return value
        }
        if let value { continuation.resume(returning: value) }
      }
    }
  }
#endif
