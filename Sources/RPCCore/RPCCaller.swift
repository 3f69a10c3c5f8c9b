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
/// ttrpc's client is one, gRPC's is another. Stubs are generic over it, so that a call is
/// specialised and nothing is boxed on the way.
public protocol RPCCaller: Sendable {
  /// Sends one message and waits for one.
  ///
  /// - Throws: ``RPCError``: the peer's status, or what kept its answer away.
  nonisolated(nonsending) func unary<Request: Message, Response: Message>(
    _ method: RPCMethod, _ request: Request, returning response: Response.Type,
    options: RPCCallOptions
  ) async throws(RPCError) -> Response
}
