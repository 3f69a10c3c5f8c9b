public import NIOCore

/// A call as an interceptor sees it on its way out.
public struct RPCClientCall: Sendable {
  public let method: RPCMethod
  /// How many messages go each way; nil for one each.
  public let streamKind: RPCStreamKind?
  /// May be changed before the call goes on.
  public var options: RPCCallOptions

  public init(method: RPCMethod, streamKind: RPCStreamKind? = nil, options: RPCCallOptions) {
    self.method = method
    self.streamKind = streamKind
    self.options = options
  }
}

/// Stands around every call of a caller: may change what goes out, look at what comes back, answer
/// itself, or try again.
///
/// A caller has none unless it is asked for by ``RPCCaller/intercepted(by:)``, and then pays nothing.
public protocol RPCClientInterceptor: Sendable {
  /// - Parameters:
  ///   - request: the message, encoded.
  ///   - next: makes the call. It may be called more than once, or not at all.
  nonisolated(nonsending) func unary(
    _ call: RPCClientCall, _ request: ByteBuffer,
    next: nonisolated(nonsending) (RPCClientCall, ByteBuffer) async throws(RPCError) -> ByteBuffer
  ) async throws(RPCError) -> ByteBuffer

  /// - Parameters:
  ///   - request: the one message of a server-streaming call, encoded.
  ///   - next: opens the stream. What comes of it may be wrapped in a stream of the interceptor's.
  nonisolated(nonsending) func stream(
    _ call: RPCClientCall, _ request: ByteBuffer?,
    next:
      nonisolated(nonsending) (RPCClientCall, ByteBuffer?) async throws(RPCError) ->
      any RPCStream
  ) async throws(RPCError) -> any RPCStream
}

extension RPCClientInterceptor {
  public nonisolated(nonsending) func unary(
    _ call: RPCClientCall, _ request: ByteBuffer,
    next: nonisolated(nonsending) (RPCClientCall, ByteBuffer) async throws(RPCError) -> ByteBuffer
  ) async throws(RPCError) -> ByteBuffer { try await next(call, request) }

  public nonisolated(nonsending) func stream(
    _ call: RPCClientCall, _ request: ByteBuffer?,
    next:
      nonisolated(nonsending) (RPCClientCall, ByteBuffer?) async throws(RPCError) ->
      any RPCStream
  ) async throws(RPCError) -> any RPCStream { try await next(call, request) }
}

extension RPCCaller {
  /// The same caller with interceptors around its calls, the first one outermost.
  public func intercepted(by interceptors: [any RPCClientInterceptor]) -> InterceptedCaller<Self> {
    InterceptedCaller(base: self, interceptors: interceptors)
  }
}

/// A caller whose calls pass through interceptors.
public struct InterceptedCaller<Base: RPCCaller>: RPCCaller {
  public let base: Base
  private let interceptors: [any RPCClientInterceptor]

  fileprivate init(base: Base, interceptors: [any RPCClientInterceptor]) {
    self.base = base
    self.interceptors = interceptors
  }

  public nonisolated(nonsending) func call(
    _ method: RPCMethod, payload: ByteBuffer, options: RPCCallOptions
  ) async throws(RPCError) -> ByteBuffer {
    try await unary(RPCClientCall(method: method, options: options), payload, from: 0)
  }

  public nonisolated(nonsending) func open(
    _ method: RPCMethod, kind: RPCStreamKind, request: ByteBuffer?, options: RPCCallOptions
  ) async throws(RPCError) -> any RPCStream {
    let call = RPCClientCall(method: method, streamKind: kind, options: options)
    return try await stream(call, kind, request, from: 0)
  }

  private nonisolated(nonsending) func unary(
    _ call: RPCClientCall, _ request: ByteBuffer, from index: Int
  ) async throws(RPCError) -> ByteBuffer {
    guard index < interceptors.count else {
      return try await base.call(call.method, payload: request, options: call.options)
    }
    return try await interceptors[index].unary(call, request) {
      (call, request) async throws(RPCError) in
      try await unary(call, request, from: index + 1)
    }
  }

  private nonisolated(nonsending) func stream(
    _ call: RPCClientCall, _ kind: RPCStreamKind, _ request: ByteBuffer?, from index: Int
  ) async throws(RPCError) -> any RPCStream {
    guard index < interceptors.count else {
      return try await base.open(call.method, kind: kind, request: request, options: call.options)
    }
    return try await interceptors[index].stream(call, request) {
      (call, request) async throws(RPCError) in
      try await stream(call, kind, request, from: index + 1)
    }
  }
}
