internal import ContainerdAPI
public import RPCCore
internal import SwiftProtobuf

/// The sandbox that a shim holds: `containerd.runtime.sandbox.v1.Sandbox`, which is the same over
/// ttrpc and gRPC.
///
/// Every method throws the `RPCError` of its call untouched, and takes a time limit for the whole
/// call; without one it waits as long as the connection lives. A shim that holds no sandboxes answers
/// each with Unimplemented (``RPCCore/RPCError/isUnimplemented``).
public struct SandboxClient<Caller: RPCCaller>: Sendable {
  public let caller: Caller
  public let namespace: String

  private var sandboxes: Containerd_Runtime_Sandbox_V1_SandboxClient<NamespaceCaller<Caller>> {
    Containerd_Runtime_Sandbox_V1_SandboxClient(
      caller: NamespaceCaller(base: caller, namespace: namespace))
  }

  /// - Parameter namespace: containerd's, sent with every call as its clients do.
  public init(caller: Caller, namespace: String) {
    self.caller = caller
    self.namespace = namespace
  }

  /// Makes a sandbox ready to be started. Nothing runs in it yet.
  public nonisolated(nonsending) func create(
    _ creation: SandboxCreation, timeout: Duration? = nil
  ) async throws(RPCError) {
    _ = try await sandboxes.createSandbox(
      Containerd_Runtime_Sandbox_V1_CreateSandboxRequest(creation), options: .within(timeout))
  }

  /// Starts what was made ready.
  public nonisolated(nonsending) func start(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) -> SandboxStart {
    let request = Containerd_Runtime_Sandbox_V1_StartSandboxRequest.with { $0.sandboxID = id }
    return SandboxStart(try await sandboxes.startSandbox(request, options: .within(timeout)))
  }

  /// What programs run in it.
  public nonisolated(nonsending) func platform(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) -> SandboxPlatform {
    let request = Containerd_Runtime_Sandbox_V1_PlatformRequest.with { $0.sandboxID = id }
    return SandboxPlatform(
      try await sandboxes.platform(request, options: .within(timeout)).platform)
  }

  /// Ends the sandbox. What is left of it can still be asked for.
  ///
  /// - Parameter grace: how long the shim may take to end it in order; `nil`: it knows itself. Sent in
  ///   whole seconds, rounded up.
  public nonisolated(nonsending) func stop(
    _ id: String, grace: Duration? = nil, timeout: Duration? = nil
  ) async throws(RPCError) {
    let request = Containerd_Runtime_Sandbox_V1_StopSandboxRequest.with {
      $0.sandboxID = id
      $0.timeoutSecs = grace?.wholeSeconds ?? 0
    }
    _ = try await sandboxes.stopSandbox(request, options: .within(timeout))
  }

  /// Waits for the sandbox to end. One that has ended already is answered at once.
  public nonisolated(nonsending) func wait(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) -> SandboxExit {
    let request = Containerd_Runtime_Sandbox_V1_WaitSandboxRequest.with { $0.sandboxID = id }
    return SandboxExit(try await sandboxes.waitSandbox(request, options: .within(timeout)))
  }

  /// - Parameter verbose: asks for ``SandboxStatus/info``.
  public nonisolated(nonsending) func status(
    _ id: String, verbose: Bool = false, timeout: Duration? = nil
  ) async throws(RPCError) -> SandboxStatus {
    let request = Containerd_Runtime_Sandbox_V1_SandboxStatusRequest.with {
      $0.sandboxID = id
      $0.verbose = verbose
    }
    return SandboxStatus(try await sandboxes.sandboxStatus(request, options: .within(timeout)))
  }

  /// Sees whether the shim is there and has the sandbox.
  public nonisolated(nonsending) func ping(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) {
    let request = Containerd_Runtime_Sandbox_V1_PingRequest.with { $0.sandboxID = id }
    _ = try await sandboxes.pingSandbox(request, options: .within(timeout))
  }

  /// Ends the sandbox, and the shim with it.
  public nonisolated(nonsending) func shutdown(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) {
    let request = Containerd_Runtime_Sandbox_V1_ShutdownSandboxRequest.with { $0.sandboxID = id }
    _ = try await sandboxes.shutdownSandbox(request, options: .within(timeout))
  }

  /// What the sandbox uses.
  public nonisolated(nonsending) func metrics(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) -> SandboxMetrics {
    let request = Containerd_Runtime_Sandbox_V1_SandboxMetricsRequest.with { $0.sandboxID = id }
    return SandboxMetrics(
      try await sandboxes.sandboxMetrics(request, options: .within(timeout)).metrics)
  }

  /// Tells the shim that fields of the sandbox's record have changed. Shims before containerd 2.4 do
  /// not have it and answer Unimplemented.
  ///
  /// - Parameter fields: which, such as `labels.name`.
  public nonisolated(nonsending) func update(
    _ record: SandboxRecord, fields: [String], timeout: Duration? = nil
  ) async throws(RPCError) {
    let request = Containerd_Runtime_Sandbox_V1_UpdateSandboxRequest.with {
      $0.sandboxID = record.id
      $0.sandbox = Containerd_Types_Sandbox(record)
      $0.fields = fields
    }
    _ = try await sandboxes.updateSandbox(request, options: .within(timeout))
  }
}

extension Duration {
  /// Rounded up, and at most what 32 bits hold; nothing for what is negative.
  fileprivate var wholeSeconds: UInt32 {
    let (seconds, rest) = components
    return UInt32(clamping: rest > 0 ? seconds + 1 : seconds)
  }
}
