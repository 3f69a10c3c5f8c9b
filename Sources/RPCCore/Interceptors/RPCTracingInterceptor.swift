public import NIOCore
public import Tracing

/// Makes a span of each call, and hands the trace on in the call's metadata, as the tracer does it
/// (`traceparent` for those that follow W3C's Trace Context).
///
/// A handler's task has the trace in `ServiceContext.current`, so what it calls belongs to it.
public struct RPCTracingInterceptor: RPCClientInterceptor, RPCServerInterceptor {
  private let chosen: (any Tracer)?
  private let system: String

  /// - Parameters:
  ///   - system: what spans say in `rpc.system`: the protocol.
  ///   - tracer: the process's own if there is none.
  public init(system: String = "ttrpc", tracer: (any Tracer)? = nil) {
    self.system = system
    chosen = tracer
  }

  public nonisolated(nonsending) func unary(
    _ call: RPCClientCall, _ request: ByteBuffer,
    next: nonisolated(nonsending) (RPCClientCall, ByteBuffer) async throws(RPCError) -> ByteBuffer
  ) async throws(RPCError) -> ByteBuffer {
    let (span, call) = began(call)
    do throws(RPCError) {
      let response = try await next(call, request)
      span.ended(nil)
      return response
    } catch {
      span.ended(error)
      throw error
    }
  }

  public nonisolated(nonsending) func stream(
    _ call: RPCClientCall, _ request: ByteBuffer?,
    next:
      nonisolated(nonsending) (RPCClientCall, ByteBuffer?) async throws(RPCError) ->
      any RPCStream
  ) async throws(RPCError) -> any RPCStream {
    let (span, call) = began(call)
    do throws(RPCError) {
      return WatchedStream(try await next(call, request)) { error, _, _ in span.ended(error) }
    } catch {
      span.ended(error)
      throw error
    }
  }

  public nonisolated(nonsending) func unary(
    _ request: ByteBuffer, _ context: RPCServerContext,
    next: nonisolated(nonsending) (ByteBuffer, RPCServerContext) async throws -> ByteBuffer
  ) async throws -> ByteBuffer {
    try await serve(context) { try await next(request, context) }
  }

  public nonisolated(nonsending) func stream(
    _ stream: any RPCStream, _ context: RPCServerContext,
    next: nonisolated(nonsending) (any RPCStream, RPCServerContext) async throws -> ByteBuffer?
  ) async throws -> ByteBuffer? {
    try await serve(context) { try await next(stream, context) }
  }

  private var tracer: any Tracer { chosen ?? InstrumentationSystem.tracer }

  private func began(_ call: RPCClientCall) -> (any Span, RPCClientCall) {
    var call = call
    let span = tracer.startAnySpan(call.method.path, ofKind: .client)
    describe(span, call.method)
    tracer.inject(span.context, into: &call.options.metadata, using: MetadataCarrier())
    return (span, call)
  }

  private nonisolated(nonsending) func serve<Response>(
    _ context: RPCServerContext,
    _ handler: nonisolated(nonsending) () async throws -> Response
  ) async throws -> Response {
    var trace = ServiceContext.current ?? .topLevel
    tracer.extract(context.metadata, into: &trace, using: MetadataCarrier())
    let span = tracer.startAnySpan(context.method.path, context: trace, ofKind: .server)
    describe(span, context.method)
    span.attributes["network.peer"] = "\(context.peer)"
    do {
      let response = try await ServiceContext.$current.withValue(span.context) {
        try await handler()
      }
      span.ended(nil)
      return response
    } catch {
      span.ended(RPCError(error))
      throw error
    }
  }

  private func describe(_ span: any Span, _ method: RPCMethod) {
    span.attributes["rpc.system"] = system
    span.attributes["rpc.service"] = method.service
    span.attributes["rpc.method"] = method.name
  }
}

extension Span {
  fileprivate func ended(_ error: RPCError?) {
    attributes["rpc.status_code"] = Int64(error?.code.rawValue ?? RPCCode.ok.rawValue)
    if let error {
      setStatus(SpanStatus(code: .error, message: error.message))
      recordError(error)
    }
    end()
  }

}

private struct MetadataCarrier: Injector, Extractor {
  func inject(_ value: String, forKey key: String, into carrier: inout RPCMetadata) {
    carrier[key] = value
  }

  func extract(key: String, from carrier: RPCMetadata) -> String? { carrier[key] }
}
