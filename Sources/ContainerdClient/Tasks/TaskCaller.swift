internal import ContainerdAPI
internal import NIOCore
internal import RPCCore
internal import SwiftProtobuf

/// What stands before a shim's caller: every call carries the namespace, and those of the task API
/// go to the version that the shim speaks.
///
/// containerd's `containerd.task.v2` and `containerd.task.v3` differ in the package's name alone:
/// every message has the same fields with the same numbers and types. So the third version's client
/// is enough for both, and only the service's name tells them apart.
struct TaskCaller<Base: RPCCaller>: RPCCaller {
  let base: Base
  /// 2 or 3.
  let version: Int
  let namespace: String

  nonisolated(nonsending) func unary<Request: Message, Response: Message>(
    _ method: RPCMethod, _ request: Request, returning response: Response.Type,
    options: RPCCallOptions
  ) async throws(RPCError) -> Response {
    try await base.unary(
      spoken(method), request, returning: response, options: options.naming(namespace))
  }

  nonisolated(nonsending) func call(
    _ method: RPCMethod, payload: ByteBuffer, options: RPCCallOptions
  ) async throws(RPCError) -> ByteBuffer {
    try await base.call(spoken(method), payload: payload, options: options.naming(namespace))
  }

  nonisolated(nonsending) func open(
    _ method: RPCMethod, kind: RPCStreamKind, request: ByteBuffer?, options: RPCCallOptions
  ) async throws(RPCError) -> any RPCStream {
    try await base.open(
      spoken(method), kind: kind, request: request, options: options.naming(namespace))
  }

  private func spoken(_ method: RPCMethod) -> RPCMethod {
    version == 2 ? secondVersion[method] ?? method : method
  }
}

/// The third version's methods to the second's.
private let secondVersion: [RPCMethod: RPCMethod] = {
  let older = Containerd_Task_V2_TaskMethods.all.map { ($0.method.name, $0.method) }
  let byName = Dictionary(older, uniquingKeysWith: { first, _ in first })
  return Containerd_Task_V3_TaskMethods.all.reduce(into: [:]) { methods, signature in
    methods[signature.method] = byName[signature.method.name]
  }
}()
