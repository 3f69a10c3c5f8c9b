public import RPCCore

/// What a shim need not have: containerd takes Unimplemented for an answer (2.4 is the first that asks).
extension Containerd_Runtime_Sandbox_V1_SandboxService {
  public nonisolated(nonsending) func updateSandbox(
    _ request: Containerd_Runtime_Sandbox_V1_UpdateSandboxRequest, context: RPCServerContext
  ) async throws -> Containerd_Runtime_Sandbox_V1_UpdateSandboxResponse {
    throw RPCError(code: .unimplemented, message: "\(context.method) is not served here")
  }
}
