internal import ContainerdAPI
internal import RPCCore
internal import ShimKit
internal import SwiftProtobuf
internal import TTRPC

/// What a fake shim keeps of its sandbox.
struct FakeSandbox: Sendable {
  var state = "SANDBOX_NOTREADY"
  let end = Awaited<UInt32>()
}

/// The sandbox API, over one sandbox that is a few words in memory.
extension FakeShim {
  func addSandbox(to server: inout TTRPCServer) {
    func method(_ name: String) -> RPCMethod {
      RPCMethod(service: "containerd.runtime.sandbox.v1.Sandbox", name: name)
    }
    add(method("CreateSandbox"), as: "sandbox", to: &server) {
      ($0 as Containerd_Runtime_Sandbox_V1_CreateSandboxRequest).sandboxID
    } answer: { _ in
      return Containerd_Runtime_Sandbox_V1_CreateSandboxResponse()
    }
    add(method("StartSandbox"), as: "sandbox", to: &server) {
      ($0 as Containerd_Runtime_Sandbox_V1_StartSandboxRequest).sandboxID
    } answer: { [weak self] _ in
      self?.withSandbox { $0.state = "SANDBOX_READY" }
      return Containerd_Runtime_Sandbox_V1_StartSandboxResponse.with {
        $0.pid = 4243
      }
    }
    add(method("Platform"), as: "sandbox", to: &server) {
      ($0 as Containerd_Runtime_Sandbox_V1_PlatformRequest).sandboxID
    } answer: { _ in
      return Containerd_Runtime_Sandbox_V1_PlatformResponse.with {
        $0.platform.os = "linux"
      }
    }
    add(method("StopSandbox"), as: "sandbox", to: &server) {
      ($0 as Containerd_Runtime_Sandbox_V1_StopSandboxRequest).sandboxID
    } answer: { [weak self] _ in
      self?.endSandbox(status: 0)
      return Containerd_Runtime_Sandbox_V1_StopSandboxResponse()
    }
    add(method("SandboxStatus"), as: "sandbox", to: &server) {
      ($0 as Containerd_Runtime_Sandbox_V1_SandboxStatusRequest).sandboxID
    } answer: { [weak self] request in
      let state = self?.withSandbox { $0.state } ?? ""
      return Containerd_Runtime_Sandbox_V1_SandboxStatusResponse.with {
        $0.sandboxID = request.sandboxID
        $0.pid = 4243
        $0.state = state
      }
    }
    add(method("PingSandbox"), as: "sandbox", to: &server) {
      ($0 as Containerd_Runtime_Sandbox_V1_PingRequest).sandboxID
    } answer: { _ in
      return Containerd_Runtime_Sandbox_V1_PingResponse()
    }
    add(method("ShutdownSandbox"), as: "sandbox", to: &server) {
      ($0 as Containerd_Runtime_Sandbox_V1_ShutdownSandboxRequest).sandboxID
    } answer: { _ in
      return Containerd_Runtime_Sandbox_V1_ShutdownSandboxResponse()
    }
    add(method("SandboxMetrics"), as: "sandbox", to: &server) {
      ($0 as Containerd_Runtime_Sandbox_V1_SandboxMetricsRequest).sandboxID
    } answer: { request in
      return Containerd_Runtime_Sandbox_V1_SandboxMetricsResponse.with {
        $0.metrics.id = request.sandboxID
      }
    }
    add(method("WaitSandbox"), as: "sandbox", to: &server) {
      ($0 as Containerd_Runtime_Sandbox_V1_WaitSandboxRequest).sandboxID
    } answer: { [weak self] _ in
      let status = try await self?.withSandbox { $0.end }.get() ?? 255
      return Containerd_Runtime_Sandbox_V1_WaitSandboxResponse.with {
        $0.exitStatus = status
        $0.exitedAt = .current
      }
    }
  }
}
