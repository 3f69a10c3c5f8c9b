public import ContainerdAPI
internal import FoundationEssentials  // For Data, which is what SwiftProtobuf keeps bytes in.
internal import Glibc
internal import JSON
internal import Logging
public import RPCCore
internal import ShimProtocol
internal import SwiftProtobuf

/// The methods of `containerd.runtime.sandbox.v1.Sandbox`.
extension OCISandboxService: Containerd_Runtime_Sandbox_V1_SandboxService {
  public nonisolated(nonsending) func createSandbox(
    _ request: Containerd_Runtime_Sandbox_V1_CreateSandboxRequest, context: RPCServerContext
  ) async throws -> Containerd_Runtime_Sandbox_V1_CreateSandboxResponse {
    func refuse(_ message: String) -> RPCError {
      RPCError(code: .invalidArgument, message: message)
    }
    do throws(ShimProtocolError) { try Identifier.validate(request.sandboxID, as: .id) } catch {
      throw refuse("\(error)")
    }
    for (name, path) in [("bundle", request.bundlePath), ("network", request.netnsPath)] {
      guard name == "network" && path.isEmpty || path.hasPrefix("/"), !path.utf8.contains(0),
        path.utf8.count < Int(PATH_MAX)
      else { throw refuse("the sandbox's \(name) must be an absolute path") }
    }
    guard request.rootfs.isEmpty else {
      throw refuse("a sandbox that is namespaces and no more has no root file system")
    }
    var held = HeldSandbox(id: request.sandboxID, bundle: request.bundlePath)
    held.network = request.netnsPath
    do throws(OCIShimError) {
      let type = request.options.typeURL.split(separator: "/").last
      if request.hasOptions, type.map(String.init) == PodConfiguration.typeName {
        held.configuration = try PodConfiguration([UInt8](request.options.value))
      }
      try held.configuration.validate(hasOwnNetwork: !held.network.isEmpty)
    } catch {
      throw error.rpcError
    }
    let sandbox = held
    try await answering { try await $0.create(sandbox) }
    return Containerd_Runtime_Sandbox_V1_CreateSandboxResponse()
  }

  public nonisolated(nonsending) func startSandbox(
    _ request: Containerd_Runtime_Sandbox_V1_StartSandboxRequest, context: RPCServerContext
  ) async throws -> Containerd_Runtime_Sandbox_V1_StartSandboxResponse {
    let id = request.sandboxID
    let pid = try await answering { try await $0.start(id) }
    var response = Containerd_Runtime_Sandbox_V1_StartSandboxResponse()
    response.pid = UInt32(pid)
    response.createdAt = try changing(id) { $0.createdAt.timestamp }
    return response
  }

  public nonisolated(nonsending) func platform(
    _ request: Containerd_Runtime_Sandbox_V1_PlatformRequest, context: RPCServerContext
  ) async throws -> Containerd_Runtime_Sandbox_V1_PlatformResponse {
    _ = try changing(request.sandboxID) { $0.createdAt }
    var response = Containerd_Runtime_Sandbox_V1_PlatformResponse()
    response.platform.os = "linux"
    #if arch(x86_64)
      response.platform.architecture = "amd64"
    #elseif arch(arm64)
      response.platform.architecture = "arm64"
    #endif
    return response
  }

  public nonisolated(nonsending) func stopSandbox(
    _ request: Containerd_Runtime_Sandbox_V1_StopSandboxRequest, context: RPCServerContext
  ) async throws -> Containerd_Runtime_Sandbox_V1_StopSandboxResponse {
    try await answering { try await $0.stop(request.sandboxID, seconds: request.timeoutSecs) }
    return Containerd_Runtime_Sandbox_V1_StopSandboxResponse()
  }

  public nonisolated(nonsending) func waitSandbox(
    _ request: Containerd_Runtime_Sandbox_V1_WaitSandboxRequest, context: RPCServerContext
  ) async throws -> Containerd_Runtime_Sandbox_V1_WaitSandboxResponse {
    let promise = try changing(request.sandboxID) { $0.promise }
    // Only a sandbox that never was has no end, and that is resolved with one, too.
    let end = try await promise.wait()
    var response = Containerd_Runtime_Sandbox_V1_WaitSandboxResponse()
    response.exitStatus = end?.status ?? 255
    if let end { response.exitedAt = end.time.timestamp }
    return response
  }

  public nonisolated(nonsending) func sandboxStatus(
    _ request: Containerd_Runtime_Sandbox_V1_SandboxStatusRequest, context: RPCServerContext
  ) async throws -> Containerd_Runtime_Sandbox_V1_SandboxStatusResponse {
    try changing(request.sandboxID) { sandbox in
      var response = Containerd_Runtime_Sandbox_V1_SandboxStatusResponse()
      response.sandboxID = sandbox.held.id
      response.pid = UInt32(sandbox.machine.pid)
      response.state = sandbox.machine.name
      response.createdAt = sandbox.createdAt.timestamp
      if let end = sandbox.machine.end { response.exitedAt = end.time.timestamp }
      if request.verbose { response.info["info"] = Self.info(sandbox) }
      return response
    }
  }

  private static func info(_ sandbox: Sandbox) -> String {
    let configuration = sandbox.held.configuration
    let info: JSONValue = [
      "pid": .integer(Int64(sandbox.machine.pid)), "shimPid": .integer(Int64(getpid())),
      "bundle": .string(sandbox.held.bundle), "hostname": .string(configuration.hostname),
      "network": .string(sandbox.held.network),
      "namespaces": JSONValue(
        strings: ["uts"] + (configuration.hasHostIPC ? [] : ["ipc"])
          + (configuration.sharesPIDs ? ["pid"] : [])),
    ]
    return String(decoding: info.printed(), as: UTF8.self)
  }

  public nonisolated(nonsending) func pingSandbox(
    _ request: Containerd_Runtime_Sandbox_V1_PingRequest, context: RPCServerContext
  ) async throws -> Containerd_Runtime_Sandbox_V1_PingResponse {
    _ = try changing(request.sandboxID) { $0.createdAt }
    return Containerd_Runtime_Sandbox_V1_PingResponse()
  }

  public nonisolated(nonsending) func shutdownSandbox(
    _ request: Containerd_Runtime_Sandbox_V1_ShutdownSandboxRequest, context: RPCServerContext
  ) async throws -> Containerd_Runtime_Sandbox_V1_ShutdownSandboxResponse {
    let id = request.sandboxID
    try await answering { try await $0.shutDown(id) }
    return Containerd_Runtime_Sandbox_V1_ShutdownSandboxResponse()
  }

  public nonisolated(nonsending) func sandboxMetrics(
    _ request: Containerd_Runtime_Sandbox_V1_SandboxMetricsRequest, context: RPCServerContext
  ) async throws -> Containerd_Runtime_Sandbox_V1_SandboxMetricsResponse {
    let id = request.sandboxID
    let pid = try changing(id) { $0.machine.pid }
    guard pid > 0, let data = try await metrics?.stats(container: id, pid: pid) else {
      throw RPCError(code: .notFound, message: "sandbox \(id) has no figures: not found")
    }
    var response = Containerd_Runtime_Sandbox_V1_SandboxMetricsResponse()
    response.metrics.id = id
    response.metrics.timestamp = WallTime.now.timestamp
    response.metrics.data = data
    return response
  }

  /// Carries the work through whatever becomes of the caller, and has its errors in the caller's
  /// terms.
  private nonisolated(nonsending) func answering<T: Sendable>(
    _ body: @escaping @Sendable (OCISandboxService) async throws -> T
  ) async throws -> T {
    do {
      return try await Task { try await body(self) }.value
    } catch let error as OCIShimError {
      throw error.rpcError
    }
  }
}
