public import NIOCore

/// Stands around the handlers of a server: may look at what comes in, refuse it, change it, or
/// answer itself.
///
/// A handler has none unless it is registered behind some, and then pays nothing.
public protocol RPCServerInterceptor: Sendable {
  /// - Parameters:
  ///   - request: the message, encoded. It is decoded by the handler, so one that is refused here
  ///     need not even be a message.
  ///   - next: runs the handler.
  nonisolated(nonsending) func unary(
    _ request: ByteBuffer, _ context: RPCServerContext,
    next: nonisolated(nonsending) (ByteBuffer, RPCServerContext) async throws -> ByteBuffer
  ) async throws -> ByteBuffer

  /// - Parameters:
  ///   - stream: the call's messages, both ways. It may be wrapped in a stream of the interceptor's.
  ///   - next: runs the handler, and returns the response of a client-streaming call.
  nonisolated(nonsending) func stream(
    _ stream: any RPCStream, _ context: RPCServerContext,
    next: nonisolated(nonsending) (any RPCStream, RPCServerContext) async throws -> ByteBuffer?
  ) async throws -> ByteBuffer?
}

extension RPCServerInterceptor {
  public nonisolated(nonsending) func unary(
    _ request: ByteBuffer, _ context: RPCServerContext,
    next: nonisolated(nonsending) (ByteBuffer, RPCServerContext) async throws -> ByteBuffer
  ) async throws -> ByteBuffer { try await next(request, context) }

  public nonisolated(nonsending) func stream(
    _ stream: any RPCStream, _ context: RPCServerContext,
    next: nonisolated(nonsending) (any RPCStream, RPCServerContext) async throws -> ByteBuffer?
  ) async throws -> ByteBuffer? { try await next(stream, context) }
}

extension RPCRegistrar {
  /// Registers handlers behind interceptors, the first one outermost.
  ///
  /// ```swift
  /// server.intercept(with: [RPCTracingInterceptor()]) { service.register(on: &$0) }
  /// ```
  public mutating func intercept(
    with interceptors: [any RPCServerInterceptor],
    _ register: (inout InterceptedRegistrar<Self>) throws -> Void
  ) rethrows {
    var intercepted = InterceptedRegistrar(base: self, interceptors: interceptors)
    // What was registered before a failure stays, as it does without interceptors.
    defer { self = intercepted.base }
    try register(&intercepted)
  }
}

/// A registrar that puts interceptors around the handlers that it passes on.
public struct InterceptedRegistrar<Base: RPCRegistrar>: RPCRegistrar {
  fileprivate var base: Base
  private let chain: ServerInterceptorChain

  fileprivate init(base: Base, interceptors: [any RPCServerInterceptor]) {
    self.base = base
    chain = ServerInterceptorChain(interceptors: interceptors)
  }

  public mutating func register(
    _ method: RPCMethod, execution: RPCExecution, unary handler: @escaping RPCUnaryHandler
  ) {
    let chain = chain
    base.register(method, execution: execution) {
      (request: ByteBuffer, context: RPCServerContext) in
      try await chain.unary(request, context, from: 0, handler)
    }
  }

  public mutating func register(
    _ method: RPCMethod, kind: RPCStreamKind, execution: RPCExecution,
    stream handler: @escaping RPCStreamHandler
  ) {
    let chain = chain
    base.register(method, kind: kind, execution: execution) { stream, context in
      try await chain.stream(stream, context, from: 0, handler)
    }
  }
}

/// Outside the registrar, since a closure must not take along that type's metadata.
private struct ServerInterceptorChain: Sendable {
  let interceptors: [any RPCServerInterceptor]

  nonisolated(nonsending) func unary(
    _ request: ByteBuffer, _ context: RPCServerContext, from index: Int,
    _ handler: @escaping RPCUnaryHandler
  ) async throws -> ByteBuffer {
    guard index < interceptors.count else { return try await handler(request, context) }
    return try await interceptors[index].unary(request, context) { request, context in
      try await unary(request, context, from: index + 1, handler)
    }
  }

  nonisolated(nonsending) func stream(
    _ stream: any RPCStream, _ context: RPCServerContext, from index: Int,
    _ handler: @escaping RPCStreamHandler
  ) async throws -> ByteBuffer? {
    guard index < interceptors.count else { return try await handler(stream, context) }
    return try await interceptors[index].stream(stream, context) { stream, context in
      try await self.stream(stream, context, from: index + 1, handler)
    }
  }
}
