import NIOCore
import RPCCore
import Synchronization

/// Handlers that are called in this process, without a protocol between.
struct LocalCalls: RPCRegistrar, RPCCaller {
  private var unary: [RPCMethod: RPCUnaryHandler] = [:]
  private var streams: [RPCMethod: RPCStreamHandler] = [:]

  mutating func register(
    _ method: RPCMethod, execution: RPCExecution, unary handler: @escaping RPCUnaryHandler
  ) {
    unary[method] = handler
  }

  mutating func register(
    _ method: RPCMethod, kind: RPCStreamKind, execution: RPCExecution,
    stream handler: @escaping RPCStreamHandler
  ) {
    streams[method] = handler
  }

  nonisolated(nonsending) func call(
    _ method: RPCMethod, payload: ByteBuffer, options: RPCCallOptions
  ) async throws(RPCError) -> ByteBuffer {
    guard let handler = unary[method] else { throw Self.unknown(method) }
    let context = RPCServerContext(
      method: method, metadata: options.metadata, timeout: options.timeout)
    do {
      return try await handler(payload, context)
    } catch {
      throw RPCError(error)
    }
  }

  nonisolated(nonsending) func open(
    _ method: RPCMethod, kind: RPCStreamKind, request: ByteBuffer?, options: RPCCallOptions
  ) async throws(RPCError) -> any RPCStream {
    guard let handler = streams[method] else { throw Self.unknown(method) }
    let (up, down) = (LocalPipe(), LocalPipe())
    if let request {
      up.push(.success(request))
      up.push(.success(nil))
    }
    let context = RPCServerContext(
      method: method, metadata: options.metadata, timeout: options.timeout)
    Task {
      do {
        if let response = try await handler(LocalStream(from: up, to: down), context) {
          down.push(.success(response))
        }
        down.push(.success(nil))
      } catch {
        down.push(.failure(RPCError(error)))
      }
    }
    return LocalStream(from: down, to: up)
  }

  private static func unknown(_ method: RPCMethod) -> RPCError {
    RPCError(code: .unimplemented, message: "\(method)")
  }
}

final class LocalStream: RPCStream {
  private let source: LocalPipe
  private let target: LocalPipe

  init(from source: LocalPipe, to target: LocalPipe) {
    self.source = source
    self.target = target
  }

  nonisolated(nonsending) func send(_ message: ByteBuffer) async throws(RPCError) {
    target.push(.success(message))
  }

  nonisolated(nonsending) func finishSending() async throws(RPCError) {
    target.push(.success(nil))
  }

  nonisolated(nonsending) func next() async throws(RPCError) -> ByteBuffer? {
    try await source.next().get()
  }

  func cancel() {
    source.push(.failure(RPCError(code: .cancelled, message: "given up", reason: .cancelled)))
  }
}

/// Messages on their way, one reader at a time. The last item stays: it is the end.
final class LocalPipe: Sendable {
  typealias Item = Result<ByteBuffer?, RPCError>

  private struct State {
    var items: [Item] = []
    var reader: CheckedContinuation<Item, Never>?
  }

  private let state = Mutex(State())

  func push(_ item: Item) {
    let reader = state.withLock { state in
      state.items.append(item)
      defer { state.reader = nil }
      return state.reader
    }
    if let reader { reader.resume(returning: take()) }
  }

  func next() async -> Item {
    await withCheckedContinuation { continuation in
      let isReady = state.withLock { state in
        if state.items.isEmpty { state.reader = continuation }
        return !state.items.isEmpty
      }
      if isReady { continuation.resume(returning: take()) }
    }
  }

  private func take() -> Item {
    state.withLock { state in
      if case .success(.some) = state.items[0] { return state.items.removeFirst() }
      return state.items[0]
    }
  }
}
