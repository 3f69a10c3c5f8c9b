#if GRPC
  internal import GRPCCore
  internal import GRPCNIOTransportHTTP2Posix
  internal import NIOCore
  internal import RPCCore
  internal import Synchronization
  internal import TransportCore

  /// A client's end of a stream.
  final class GRPCClientStream: RPCStream {
    private let core: ClientStreamCore

    init(_ core: ClientStreamCore) { self.core = core }

    deinit { core.cancel() }

    nonisolated(nonsending) func send(_ message: ByteBuffer) async throws(RPCError) {
      try await core.send(message)
    }

    nonisolated(nonsending) func finishSending() async throws(RPCError) {
      await core.finishSending()
    }

    nonisolated(nonsending) func next() async throws(RPCError) -> ByteBuffer? {
      try await core.inbox.next()
    }

    func cancel() { core.cancel() }
  }

  /// What the stream and the task that runs it share.
  final class ClientStreamCore: Sendable {
    typealias Outbound = GRPCCore.RPCWriter<RPCRequestPart<GRPCNIOTransportBytes>>.Closable

    let exchange: ClientExchange
    let inbox = StreamInbox()

    private struct State {
      var outbound: Outbound?
      var opener: CheckedContinuation<Void, Never>?
      var isFinished = false
      var tasks: [Task<Void, Never>] = []
      var isOver = false
    }

    private let state = Mutex(State())

    init(_ exchange: ClientExchange) { self.exchange = exchange }

    // MARK: For the task that runs it

    func opened(_ outbound: Outbound) {
      let opener = state.withLock { state in
        state.outbound = outbound
        defer { state.opener = nil }
        return state.opener
      }
      opener?.resume()
    }

    /// The stream has ended. The first end counts.
    func end(_ ending: StreamInbox.Ending, dropping: Bool = false) {
      inbox.end(ending, dropping: dropping)
      let (opener, tasks) = state.withLock { state in
        state.isOver = true
        defer {
          state.opener = nil
          state.tasks = []
        }
        return (state.opener, state.tasks)
      }
      opener?.resume()
      for task in tasks { task.cancel() }
    }

    func keep(_ task: Task<Void, Never>) {
      let isOver = state.withLock { state in
        if !state.isOver { state.tasks.append(task) }
        return state.isOver
      }
      if isOver { task.cancel() }
    }

    // MARK: For the stream

    /// Waits until messages can be sent or the stream has ended.
    nonisolated(nonsending) func waitUntilOpen() async {
      await withTaskCancellationHandler {
        await withCheckedContinuation { opener in
          let isOpen = state.withLock { state in
            if state.isOver || state.outbound != nil { return true }
            state.opener = opener
            return false
          }
          if isOpen { opener.resume() }
        }
      } onCancel: {
        cancel()
      }
    }

    nonisolated(nonsending) func send(_ message: ByteBuffer) async throws(RPCError) {
      try exchange.check(message)
      let (outbound, isFinished) = state.withLock { ($0.outbound, $0.isFinished) }
      guard !isFinished else {
        throw RPCError(
          code: .failedPrecondition,
          message: "\(exchange.method): a message was to be sent behind the last one")
      }
      if let ending = inbox.ending { throw self.failure(ending) }
      guard let outbound else { throw exchange.lost(nil) }
      do {
        try await outbound.write(.message(GRPCNIOTransportBytes(message)))
      } catch {
        if Task.isCancelled { throw exchange.cancelled }
        // The stream has ended; how is for its reader to tell, which ends with it.
        throw failure(await inbox.waitForEnd())
      }
    }

    private func failure(_ ending: StreamInbox.Ending) -> RPCError {
      guard case .failure(let error) = ending else {
        return RPCError(
          code: .failedPrecondition, message: "\(exchange.method): the peer has ended the call")
      }
      return error
    }

    nonisolated(nonsending) func finishSending() async {
      let outbound = state.withLock { state -> Outbound? in
        defer { state.isFinished = true }
        return state.isFinished ? nil : state.outbound
      }
      await outbound?.finish()
    }

    func cancel() {
      end(
        .failure(
          RPCError(
            code: .cancelled, message: "\(exchange.method): cancelled by this side",
            reason: .cancelled)),
        dropping: true)
    }
  }

  extension ClientExchange {
    nonisolated(nonsending) func open(
      _ kind: RPCStreamKind, _ request: ByteBuffer?
    ) async throws(RPCError) -> any RPCStream {
      let metadata = try Metadata(call)
      if let request { try check(request) }
      guard link.isUsable else { throw neverSent(nil) }
      let core = ClientStreamCore(self)
      link.callBegins()
      core.keep(
        Task {
          await run(core, kind, metadata, request)
          link.callEnds()
        })
      if let timeout = call.timeout {
        core.keep(
          Task {
            // Cancelled when the stream has ended before.
            guard await link.connection.channel.eventLoop.sleep(for: timeout) else { return }
            core.end(.failure(expired), dropping: true)
          })
      }
      await core.waitUntilOpen()
      if Task.isCancelled { throw cancelled }
      return GRPCClientStream(core)
    }

    /// Runs the stream until it has ended.
    private func run(
      _ core: ClientStreamCore, _ kind: RPCStreamKind, _ metadata: Metadata, _ request: ByteBuffer?
    ) async {
      let ending: StreamInbox.Ending
      do {
        ending = try await link.transport.withStream(
          descriptor: MethodDescriptor(method, kind.type), options: options
        ) { stream, _ in
          do {
            var first: [RPCRequestPart<Bytes>] = [.metadata(metadata)]
            if let request { first.append(.message(Bytes(request))) }
            try await stream.outbound.write(contentsOf: first)
            core.opened(stream.outbound)
            if kind == .serverStreaming { await core.finishSending() }
          } catch {
            // Why it could not be sent is what the peer's status says, or the connection's end.
          }
          return await read(stream.inbound, into: core)
        }
      } catch {
        ending = .failure(failure(error))
      }
      core.end(ending)
    }

    private func read(
      _ inbound: RPCAsyncSequence<RPCResponsePart<Bytes>, any Error>, into core: ClientStreamCore
    ) async -> StreamInbox.Ending {
      do {
        for try await part in inbound {
          switch part {
          case .metadata: break
          case .message(let bytes): await core.inbox.deliver(bytes.asBuffer)
          case .status(let status, let trailers):
            return status.code == .ok ? .success(()) : .failure(failure(status, trailers))
          }
        }
      } catch {
        return .failure(failure(error))
      }
      return .failure(Task.isCancelled ? cancelled : lost(nil))
    }
  }

  extension RPCStreamKind {
    fileprivate var type: MethodDescriptor.RPCType {
      switch self {
      case .clientStreaming: .clientStreaming
      case .serverStreaming: .serverStreaming
      case .bidirectional: .bidirectionalStreaming
      }
    }
  }
#endif
