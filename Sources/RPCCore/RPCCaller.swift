public import NIOCore
public import SwiftProtobuf

/// What a call carries beside its message.
public struct RPCCallOptions: Sendable {
  /// How long the call may take in all. It travels on the wire and is kept on this side too.
  /// `nil`: no limit but the connection's life.
  public var timeout: Duration?
  public var metadata: RPCMetadata

  public init(timeout: Duration? = nil, metadata: RPCMetadata = [:]) {
    self.timeout = timeout
    self.metadata = metadata
  }
}

/// The seam between services and protocols: something that can make a call.
///
/// ttrpc's client is one, gRPC's is another, and so is what stands before them: a caller that
/// connects anew, one with interceptors. Stubs are generic over it, so that a call is specialised
/// and nothing is boxed on the way.
///
/// ``call(_:payload:options:)`` and ``open(_:kind:request:options:)`` are what an implementation
/// must have.
public protocol RPCCaller: Sendable {
  /// Sends one message and waits for one.
  ///
  /// - Throws: ``RPCError``: the peer's status, or what kept its answer away.
  nonisolated(nonsending) func unary<Request: Message, Response: Message>(
    _ method: RPCMethod, _ request: Request, returning response: Response.Type,
    options: RPCCallOptions
  ) async throws(RPCError) -> Response

  /// Sends one encoded message and waits for one.
  ///
  /// - Throws: ``RPCError``: the peer's status, or what kept its answer away.
  nonisolated(nonsending) func call(
    _ method: RPCMethod, payload: ByteBuffer, options: RPCCallOptions
  ) async throws(RPCError) -> ByteBuffer

  /// Opens a stream.
  ///
  /// - Parameters:
  ///   - kind: how many messages go each way.
  ///   - request: the one message of a ``RPCStreamKind/serverStreaming`` call, encoded; nil for the
  ///     other kinds.
  /// - Throws: ``RPCError`` when it could not be opened. What happens to it later is told by its
  ///   own functions.
  nonisolated(nonsending) func open(
    _ method: RPCMethod, kind: RPCStreamKind, request: ByteBuffer?, options: RPCCallOptions
  ) async throws(RPCError) -> any RPCStream
}

extension RPCCaller {
  public nonisolated(nonsending) func unary<Request: Message, Response: Message>(
    _ method: RPCMethod, _ request: Request, returning response: Response.Type,
    options: RPCCallOptions
  ) async throws(RPCError) -> Response {
    let payload = try request.encoded(for: method)
    return try Response(
      answering: method, try await call(method, payload: payload, options: options))
  }
}

extension RPCCaller {
  /// Sends one encoded message and waits for one, without a limit or metadata.
  public nonisolated(nonsending) func call(
    _ method: RPCMethod, payload: ByteBuffer
  ) async throws(RPCError) -> ByteBuffer {
    try await call(method, payload: payload, options: RPCCallOptions())
  }
}

extension Message {
  /// - Throws: Internal, reason `.encoding`.
  @inlinable package func encoded(for method: RPCMethod) throws(RPCError) -> ByteBuffer {
    do {
      return try encodedBuffer()
    } catch {
      throw RPCError(
        code: .internal, message: "\(method): a \(Self.protoMessageName) cannot be encoded",
        reason: .encoding, cause: error)
    }
  }

  /// - Throws: Internal, reason `.encoding`.
  @inlinable package init(answering method: RPCMethod, _ payload: ByteBuffer) throws(RPCError) {
    do {
      try self.init(decoding: payload)
    } catch {
      throw RPCError(
        code: .internal, message: "\(method): the peer's message is not a \(Self.protoMessageName)",
        reason: .encoding, cause: error)
    }
  }
}
