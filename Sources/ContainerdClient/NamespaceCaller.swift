internal import NIOCore
internal import RPCCore
internal import SwiftProtobuf

/// What stands before a shim's caller: every call carries containerd's namespace.
struct NamespaceCaller<Base: RPCCaller>: RPCCaller {
  let base: Base
  let namespace: String

  nonisolated(nonsending) func unary<Request: Message, Response: Message>(
    _ method: RPCMethod, _ request: Request, returning response: Response.Type,
    options: RPCCallOptions
  ) async throws(RPCError) -> Response {
    try await base.unary(
      method, request, returning: response, options: options.naming(namespace))
  }

  nonisolated(nonsending) func call(
    _ method: RPCMethod, payload: ByteBuffer, options: RPCCallOptions
  ) async throws(RPCError) -> ByteBuffer {
    try await base.call(method, payload: payload, options: options.naming(namespace))
  }

  nonisolated(nonsending) func open(
    _ method: RPCMethod, kind: RPCStreamKind, request: ByteBuffer?, options: RPCCallOptions
  ) async throws(RPCError) -> any RPCStream {
    try await base.open(
      method, kind: kind, request: request, options: options.naming(namespace))
  }
}

extension RPCCallOptions {
  /// With the namespace where containerd's `pkg/namespaces` puts it in a ttrpc request and in gRPC's
  /// headers. Both are sent, whatever the protocol: a peer reads its own and passes over the other.
  func naming(_ namespace: String) -> RPCCallOptions {
    var options = self
    options.metadata["containerd-namespace-ttrpc"] = namespace
    options.metadata["containerd-namespace"] = namespace
    return options
  }
}
