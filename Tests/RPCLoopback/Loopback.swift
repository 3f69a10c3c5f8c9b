public import NIOCore
public import RPCCore
internal import Synchronization

/// A server and its client without anything between them: what is registered here is called here.
public struct Loopback: RPCRegistrar, RPCCaller {
  private var unary: [RPCMethod: RPCUnaryHandler] = [:]
  private var streaming: [RPCMethod: (kind: RPCStreamKind, handler: RPCStreamHandler)] = [:]
  public private(set) var executions: [RPCMethod: RPCExecution] = [:]

  public init() {}

  public mutating func register(
    _ method: RPCMethod, execution: RPCExecution, unary handler: @escaping RPCUnaryHandler
  ) {
    unary[method] = handler
    executions[method] = execution
  }

  public mutating func register(
    _ method: RPCMethod, kind: RPCStreamKind, execution: RPCExecution,
    stream handler: @escaping RPCStreamHandler
  ) {
    streaming[method] = (kind, handler)
    executions[method] = execution
  }

  public nonisolated(nonsending) func call(
    _ method: RPCMethod, payload: ByteBuffer, options: RPCCallOptions
  ) async throws(RPCError) -> ByteBuffer {
    guard let handler = unary[method] else { throw Self.unimplemented(method) }
    do {
      return try await handler(payload, Self.context(method, options))
    } catch {
      throw RPCError(error)
    }
  }

  public nonisolated(nonsending) func open(
    _ method: RPCMethod, kind: RPCStreamKind, request: ByteBuffer?, options: RPCCallOptions
  ) async throws(RPCError) -> any RPCStream {
    guard let (registered, handler) = streaming[method], registered == kind else {
      throw Self.unimplemented(method)
    }
    let (requests, responses) = (MessageQueue(), MessageQueue())
    if let request {
      requests.put(request)
      requests.finish(nil)
    }
    let near = LoopbackStream(incoming: responses, outgoing: requests)
    let far = LoopbackStream(incoming: requests, outgoing: responses)
    Task {
      do {
        let response = try await handler(far, Self.context(method, options))
        if let response { responses.put(response) }
        responses.finish(nil)
      } catch {
        responses.finish(RPCError(error))
      }
    }
    return near
  }

  private static func context(_ method: RPCMethod, _ options: RPCCallOptions) -> RPCServerContext {
    RPCServerContext(method: method, metadata: options.metadata, timeout: options.timeout)
  }

  private static func unimplemented(_ method: RPCMethod) -> RPCError {
    RPCError(code: .unimplemented, message: method.path)
  }
}

private final class LoopbackStream: RPCStream {
  private let incoming: MessageQueue
  private let outgoing: MessageQueue

  init(incoming: MessageQueue, outgoing: MessageQueue) {
    self.incoming = incoming
    self.outgoing = outgoing
  }

  nonisolated(nonsending) func send(_ message: ByteBuffer) async throws(RPCError) {
    outgoing.put(message)
  }

  nonisolated(nonsending) func finishSending() async throws(RPCError) {
    outgoing.finish(nil)
  }

  nonisolated(nonsending) func next() async throws(RPCError) -> ByteBuffer? {
    try await incoming.next()
  }

  func cancel() {
    let error = RPCError(code: .cancelled, message: "cancelled", reason: .cancelled)
    incoming.finish(error)
    outgoing.finish(error)
  }
}

/// Messages in one direction, for one reader.
private final class MessageQueue: Sendable {
  private struct State {
    var messages: [ByteBuffer] = []
    var end: Result<Void, RPCError>?
    var reader: CheckedContinuation<Void, Never>?
  }

  private let state = Mutex(State())

  func put(_ message: ByteBuffer) {
    change { state in
      if state.end == nil { state.messages.append(message) }
    }
  }

  func finish(_ error: RPCError?) {
    change { state in
      if state.end == nil { state.end = error.map { .failure($0) } ?? .success(()) }
    }
  }

  private func change(_ body: (inout State) -> Void) {
    let reader = state.withLock { state in
      body(&state)
      defer { state.reader = nil }
      return state.reader
    }
    reader?.resume()
  }

  nonisolated(nonsending) func next() async throws(RPCError) -> ByteBuffer? {
    while true {
      let (message, end) = state.withLock { state in
        (state.messages.isEmpty ? nil : state.messages.removeFirst(), state.end)
      }
      if let message { return message }
      if let end {
        try end.get()
        return nil
      }
      await withCheckedContinuation { continuation in
        let isReady = state.withLock { state in
          guard state.messages.isEmpty, state.end == nil else { return true }
          state.reader = continuation
          return false
        }
        if isReady { continuation.resume() }
      }
    }
  }
}
