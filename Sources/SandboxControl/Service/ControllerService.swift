public import ContainerdAPI
internal import ContainerdClient
public import RPCCore
internal import SwiftProtobuf

/// `containerd.services.sandbox.v1.Controller` as containerd calls it where a proxy plugin of the type
/// `sandbox` is configured.
public struct ControllerService: Sendable {
  let control: SandboxControlService
  /// nil: any.
  let namespaces: Set<String>?

  /// - Parameter namespaces: whose sandboxes are had; nil: everybody's.
  public init(_ control: SandboxControlService, namespaces: Set<String>? = nil) {
    self.control = control
    self.namespaces = namespaces
  }

  public func register(on registrar: inout some RPCRegistrar) {
    let service: some Containerd_Services_Sandbox_V1_ControllerService = self
    service.register(on: &registrar, execution: .pool)
  }

  /// The keys that containerd's clients send their namespace under, in gRPC and in ttrpc.
  private static let keys = ["containerd-namespace", "containerd-namespace-ttrpc"]

  /// - Throws: `noNamespace`.
  static func namespace(of context: RPCServerContext) throws(SandboxControlError) -> String {
    let found = keys.lazy.compactMap { context.metadata[$0] }.first
    guard let namespace = found, !namespace.isEmpty else {
      throw SandboxControlError(
        code: .noNamespace, message: "the call names no namespace",
        hint: "Send it as the metadata containerd-namespace.")
    }
    return namespace
  }

  private func name(
    _ id: String, _ context: RPCServerContext
  ) throws(SandboxControlError) -> SandboxName {
    let namespace = try Self.namespace(of: context)
    let name = try SandboxName(namespace: namespace, id: id)
    guard namespaces?.contains(namespace) ?? true else {
      throw SandboxControlError(
        code: .invalidRequest,
        message: "sandboxes of the namespace \(namespace) are not had here",
        hint: "See namespaces in the controller's configuration.")
    }
    return name
  }

  private func answering<Value: Sendable>(
    _ id: String, _ context: RPCServerContext,
    _ body: (SandboxName) async throws(SandboxControlError) -> Value
  ) async throws(RPCError) -> Value {
    do throws(SandboxControlError) {
      return try await body(try name(id, context))
    } catch {
      throw error.rpcError
    }
  }
}

extension ControllerService: Containerd_Services_Sandbox_V1_ControllerService {
  public nonisolated(nonsending) func create(
    _ request: Containerd_Services_Sandbox_V1_ControllerCreateRequest, context: RPCServerContext
  ) async throws -> Containerd_Services_Sandbox_V1_ControllerCreateResponse {
    try await answering(request.sandboxID, context) { name throws(SandboxControlError) in
      try CreateRequestCheck(request).validate()
      try await control.create(SandboxOrder(name: name, request: request))
    }
    return .with { $0.sandboxID = request.sandboxID }
  }

  public nonisolated(nonsending) func start(
    _ request: Containerd_Services_Sandbox_V1_ControllerStartRequest, context: RPCServerContext
  ) async throws -> Containerd_Services_Sandbox_V1_ControllerStartResponse {
    let instance = try await answering(request.sandboxID, context) {
      name throws(SandboxControlError) in try await control.start(name)
    }
    return .with { response in
      response.sandboxID = request.sandboxID
      response.pid = instance.pid
      response.createdAt = instance.createdAt
      response.labels = instance.labels
      response.address = instance.address
      response.version = instance.version
      if let spec = instance.spec { response.spec = spec }
    }
  }

  public nonisolated(nonsending) func platform(
    _ request: Containerd_Services_Sandbox_V1_ControllerPlatformRequest, context: RPCServerContext
  ) async throws -> Containerd_Services_Sandbox_V1_ControllerPlatformResponse {
    let platform = try await answering(request.sandboxID, context) {
      name throws(SandboxControlError) in try await control.platform(name)
    }
    return .with { response in
      response.platform.os = platform.os
      response.platform.architecture = platform.architecture
      response.platform.variant = platform.variant
      response.platform.osVersion = platform.osVersion
      response.platform.osFeatures = platform.osFeatures
    }
  }

  public nonisolated(nonsending) func stop(
    _ request: Containerd_Services_Sandbox_V1_ControllerStopRequest, context: RPCServerContext
  ) async throws -> Containerd_Services_Sandbox_V1_ControllerStopResponse {
    let limit: Duration? = request.timeoutSecs == 0 ? nil : .seconds(Int64(request.timeoutSecs))
    try await answering(request.sandboxID, context) { name throws(SandboxControlError) in
      try await control.stop(name, within: limit)
    }
    return .init()
  }

  public nonisolated(nonsending) func wait(
    _ request: Containerd_Services_Sandbox_V1_ControllerWaitRequest, context: RPCServerContext
  ) async throws -> Containerd_Services_Sandbox_V1_ControllerWaitResponse {
    let exit = try await answering(request.sandboxID, context) {
      name throws(SandboxControlError) in try await control.wait(name)
    }
    return .with { response in
      response.exitStatus = exit.status
      if let time = exit.exitedAt { response.exitedAt = time }
    }
  }

  public nonisolated(nonsending) func status(
    _ request: Containerd_Services_Sandbox_V1_ControllerStatusRequest, context: RPCServerContext
  ) async throws -> Containerd_Services_Sandbox_V1_ControllerStatusResponse {
    let status = try await answering(request.sandboxID, context) {
      name throws(SandboxControlError) in try await control.status(name, verbose: request.verbose)
    }
    return .with { response in
      response.sandboxID = request.sandboxID
      response.state = status.state
      response.info = status.info
      response.createdAt = status.createdAt
      if let instance = status.instance {
        response.pid = instance.pid
        response.createdAt = instance.createdAt
        response.address = instance.address
        response.version = instance.version
      }
      if let time = status.exit?.exitedAt { response.exitedAt = time }
    }
  }

  public nonisolated(nonsending) func shutdown(
    _ request: Containerd_Services_Sandbox_V1_ControllerShutdownRequest, context: RPCServerContext
  ) async throws -> Containerd_Services_Sandbox_V1_ControllerShutdownResponse {
    try await answering(request.sandboxID, context) { name throws(SandboxControlError) in
      try await control.shutdown(name)
    }
    return .init()
  }

  public nonisolated(nonsending) func metrics(
    _ request: Containerd_Services_Sandbox_V1_ControllerMetricsRequest, context: RPCServerContext
  ) async throws -> Containerd_Services_Sandbox_V1_ControllerMetricsResponse {
    let metrics = try await answering(request.sandboxID, context) {
      name throws(SandboxControlError) in try await control.metrics(name)
    }
    return .with { response in
      response.metrics.id = metrics.id
      if let time = metrics.timestamp { response.metrics.timestamp = time }
      if let data = metrics.data { response.metrics.data = data }
    }
  }

  public nonisolated(nonsending) func update(
    _ request: Containerd_Services_Sandbox_V1_ControllerUpdateRequest, context: RPCServerContext
  ) async throws -> Containerd_Services_Sandbox_V1_ControllerUpdateResponse {
    try await answering(request.sandboxID, context) { name throws(SandboxControlError) in
      guard request.hasSandbox else {
        throw SandboxControlError(
          code: .invalidRequest, message: "the update of sandbox \(name) carries no record")
      }
      try await control.update(name, to: request.sandbox, fields: request.fields)
    }
    return .init()
  }
}
