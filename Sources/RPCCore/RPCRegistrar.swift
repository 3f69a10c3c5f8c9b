public import NIOCore
public import SwiftProtobuf

/// Where a handler runs.
public enum RPCExecution: Sendable, Hashable {
  /// On the concurrency pool: it may compute, and nothing else waits for it.
  case pool
  /// On the connection's event loop, from the moment its request was read. Only for handlers that
  /// neither block nor compute: all connections of the loop wait for it.
  case eventLoop
}

/// Takes an encoded request message, returns an encoded response message.
public typealias RPCUnaryHandler =
  @Sendable (ByteBuffer, RPCServerContext) async throws -> ByteBuffer

/// Serves a stream until it returns. The messages of the peer come from the stream, the one request
/// of a server-streaming call, too.
///
/// Returns the response of a client-streaming call, encoded; nil for the other kinds.
public typealias RPCStreamHandler =
  @Sendable (any RPCStream, RPCServerContext) async throws -> ByteBuffer?

/// The seam between services and the servers of both protocols: something that takes handlers.
///
/// A handler that throws ends its call and nothing else: an ``RPCError`` goes to the peer with code,
/// message and details; any other becomes Unknown with its description as the text.
public protocol RPCRegistrar {
  /// Adds a unary method. One of that name that is there already is replaced.
  mutating func register(
    _ method: RPCMethod, execution: RPCExecution, unary handler: @escaping RPCUnaryHandler)

  /// Adds a streaming method. One of that name that is there already is replaced.
  mutating func register(
    _ method: RPCMethod, kind: RPCStreamKind, execution: RPCExecution,
    stream handler: @escaping RPCStreamHandler)
}

extension RPCRegistrar {
  /// Adds a unary method. One of that name that is there already is replaced.
  ///
  /// A request that is not a `Request` is answered Internal without calling the handler.
  public mutating func register<Request: Message, Response: Message>(
    _ method: RPCMethod, execution: RPCExecution = .pool,
    handler: @escaping @Sendable (Request, RPCServerContext) async throws -> Response
  ) {
    register(method, execution: execution) { payload, context in
      try await handler(try Request(asked: payload), context).encodedBuffer()
    }
  }

  /// Adds a method that takes many requests and gives one response.
  public mutating func registerClientStreaming<Request: Message, Response: Message>(
    _ method: RPCMethod, execution: RPCExecution = .pool,
    handler:
      @escaping @Sendable (RPCReader<Request>, RPCServerContext) async throws -> Response
  ) {
    register(method, kind: .clientStreaming, execution: execution) { stream, context in
      try await handler(RPCReader(method, stream), context).encodedBuffer()
    }
  }

  /// Adds a method that takes one request and gives many responses.
  public mutating func registerServerStreaming<Request: Message, Response: Message>(
    _ method: RPCMethod, execution: RPCExecution = .pool,
    handler:
      @escaping @Sendable (Request, RPCWriter<Response>, RPCServerContext) async throws -> Void
  ) {
    register(method, kind: .serverStreaming, execution: execution) { stream, context in
      // A caller that sends nothing at all means an empty message.
      let request = try Request(asked: try await stream.next() ?? ByteBuffer())
      try await handler(request, RPCWriter(method, stream), context)
      return nil
    }
  }

  /// Adds a method that takes many requests and gives many responses.
  public mutating func registerBidirectional<Request: Message, Response: Message>(
    _ method: RPCMethod, execution: RPCExecution = .pool,
    handler:
      @escaping @Sendable (RPCReader<Request>, RPCWriter<Response>, RPCServerContext) async throws
      -> Void
  ) {
    register(method, kind: .bidirectional, execution: execution) { stream, context in
      try await handler(RPCReader(method, stream), RPCWriter(method, stream), context)
      return nil
    }
  }
}

extension Message {
  /// - Throws: Internal, in the words that Go's server has for it.
  fileprivate init(asked payload: ByteBuffer) throws {
    do {
      try self.init(decoding: payload)
    } catch {
      throw RPCError(
        code: .internal, message: "ttrpc: error unmarshalling payload: \(error)",
        reason: .encoding)
    }
  }
}
