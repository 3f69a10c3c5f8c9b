internal import ContainerdAPI
public import ContainerdClient
public import RPCCore
public import SwiftProtobuf

/// A client of a sandbox controller: `containerd.services.sandbox.v1.Controller`, over any caller.
public struct SandboxControlClient<Caller: RPCCaller>: Sendable {
  public let caller: Caller
  public let namespace: String

  public init(caller: Caller, namespace: String) {
    self.caller = caller
    self.namespace = namespace
  }

  private var controller: Containerd_Services_Sandbox_V1_ControllerClient<Caller> {
    Containerd_Services_Sandbox_V1_ControllerClient(caller: caller)
  }

  private func options(_ timeout: Duration?) -> RPCCallOptions {
    var options = RPCCallOptions(timeout: timeout)
    options.metadata["containerd-namespace"] = namespace
    options.metadata["containerd-namespace-ttrpc"] = namespace
    return options
  }

  /// What a controller says of a sandbox.
  public struct Status: Hashable, Sendable {
    public var id: String
    public var pid: UInt32
    public var state: SandboxState
    public var info: [String: String]
    public var createdAt: Google_Protobuf_Timestamp?
    public var exitedAt: Google_Protobuf_Timestamp?
    /// Where its task API is; empty before it was started.
    public var address: String
    public var version: UInt32
  }

  /// Has a sandbox made.
  ///
  /// - Parameters:
  ///   - runtime: the runtime's name.
  ///   - netnsPath: of the network namespace that it is to use; empty for the host's.
  public func create(
    _ id: String, runtime: String, options: Google_Protobuf_Any? = nil,
    runtimeOptions: Google_Protobuf_Any? = nil, netnsPath: String = "",
    annotations: [String: String] = [:], timeout: Duration? = nil
  ) async throws(RPCError) {
    var request = Containerd_Services_Sandbox_V1_ControllerCreateRequest()
    request.sandboxID = id
    request.netnsPath = netnsPath
    request.annotations = annotations
    if let options { request.options = options }
    request.sandbox.sandboxID = id
    request.sandbox.runtime.name = runtime
    if let runtimeOptions { request.sandbox.runtime.options = runtimeOptions }
    _ = try await controller.create(request, options: self.options(timeout))
  }

  public func start(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) -> SandboxInstance {
    let started = try await controller.start(
      .with { $0.sandboxID = id }, options: options(timeout))
    return SandboxInstance(
      pid: started.pid, createdAt: started.createdAt, address: started.address,
      version: started.version, labels: started.labels,
      spec: started.hasSpec ? started.spec : nil)
  }

  /// - Parameter grace: how long it may take to end in order, in whole seconds; nil: the controller
  ///   knows.
  public func stop(
    _ id: String, grace: Duration? = nil, timeout: Duration? = nil
  ) async throws(RPCError) {
    let request = Containerd_Services_Sandbox_V1_ControllerStopRequest.with {
      $0.sandboxID = id
      $0.timeoutSecs = grace.map { UInt32(clamping: max($0.components.seconds, 1)) } ?? 0
    }
    _ = try await controller.stop(request, options: options(timeout))
  }

  public func wait(_ id: String, timeout: Duration? = nil) async throws(RPCError) -> SandboxExit {
    let exit = try await controller.wait(.with { $0.sandboxID = id }, options: options(timeout))
    return SandboxExit(
      status: exit.exitStatus, exitedAt: exit.hasExitedAt ? exit.exitedAt : nil)
  }

  public func status(
    _ id: String, verbose: Bool = false, timeout: Duration? = nil
  ) async throws(RPCError) -> Status {
    let request = Containerd_Services_Sandbox_V1_ControllerStatusRequest.with {
      $0.sandboxID = id
      $0.verbose = verbose
    }
    let status = try await controller.status(request, options: options(timeout))
    return Status(
      id: status.sandboxID, pid: status.pid, state: SandboxState(rawValue: status.state),
      info: status.info, createdAt: status.hasCreatedAt ? status.createdAt : nil,
      exitedAt: status.hasExitedAt ? status.exitedAt : nil, address: status.address,
      version: status.version)
  }

  public func platform(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) -> SandboxPlatform {
    let platform = try await controller.platform(
      .with { $0.sandboxID = id }, options: options(timeout)
    ).platform
    return SandboxPlatform(
      os: platform.os, architecture: platform.architecture, variant: platform.variant,
      osVersion: platform.osVersion, osFeatures: platform.osFeatures)
  }

  public func metrics(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) -> SandboxMetrics {
    let metrics = try await controller.metrics(
      .with { $0.sandboxID = id }, options: options(timeout)
    ).metrics
    return SandboxMetrics(
      id: metrics.id, timestamp: metrics.hasTimestamp ? metrics.timestamp : nil,
      data: metrics.hasData ? metrics.data : nil)
  }

  /// Ends a sandbox and has everything of it removed.
  public func shutdown(_ id: String, timeout: Duration? = nil) async throws(RPCError) {
    _ = try await controller.shutdown(.with { $0.sandboxID = id }, options: options(timeout))
  }
}
