internal import ContainerdAPI
internal import Logging
internal import ShimProtocol
public import SwiftProtobuf
internal import TransportCore

extension ShimManager {
  /// A task to attach to a sandbox that runs.
  public struct AttachRequest: Sendable {
    public var namespace: String
    public var id: String
    /// The sandbox that the task joins.
    public var sandboxID: String
    public var mode: AttachMode
    /// Where the sandbox's shim listens. `nil`: where the sandbox's own bundle says.
    public var endpoint: SandboxEndpoint?
    /// The OCI spec, byte for byte as it goes into `config.json`.
    public var spec: [UInt8]
    /// The runtime's options; used by ``AttachMode/throughBinary``.
    public var options: Google_Protobuf_Any?

    public init(
      namespace: String, id: String, sandboxID: String, mode: AttachMode,
      endpoint: SandboxEndpoint? = nil, spec: [UInt8], options: Google_Protobuf_Any? = nil
    ) {
      self.namespace = namespace
      self.id = id
      self.sandboxID = sandboxID
      self.mode = mode
      self.endpoint = endpoint
      self.spec = spec
      self.options = options
    }
  }

  /// Gives a task its own bundle and a line to its sandbox's shim.
  ///
  /// Nothing is written before the address is known to be good. The connection is the sandbox's
  /// own, shared with its other tasks. The task itself is not created yet. When anything fails, all
  /// that was made is removed, and only that.
  public func attach(_ request: AttachRequest) async throws(ShimManagementError) -> ShimTask {
    try validate(request.sandboxID, as: .sandboxID)
    // Their locks are one and the same: it would wait for itself.
    guard request.id != request.sandboxID else {
      throw ShimManagementError(
        code: .bundleExists,
        message: "cannot attach a task \(request.id) to the sandbox of the same id",
        hint: "Choose another id for the task.")
    }
    // Shared: any number of tasks may join at once, while nobody removes the sandbox.
    return try await locked(request.namespace, request.sandboxID, shared: true) {
      () throws(ShimManagementError) in
      let recorded = try self.recordedParams(of: request)
      let plan = try AttachPlan(
        sandbox: request.sandboxID, mode: request.mode, given: request.endpoint,
        recorded: recorded)
      let address = try self.address(of: plan, given: request.endpoint)
      return try await self.locked(request.namespace, request.id) {
        () throws(ShimManagementError) in
        try await self.attach(request, plan: plan, address: address)
      }
    }
  }

  private func attach(
    _ request: AttachRequest, plan: AttachPlan, address: TransportAddress
  ) async throws(ShimManagementError) -> ShimTask {
    let binary = plan.way == .runBinary ? try locate(shimBinary(ofSandbox: request)) : nil
    let bundle = try Bundle.create(
      id: request.id, namespace: request.namespace, spec: request.spec,
      in: configuration.directory)
    configuration.onStep(.bundleCreated)
    do throws(ShimManagementError) {
      if let binary {
        let task = try await launch(
          binary, bundle: bundle, options: request.options, sandboxID: request.sandboxID,
          expected: plan.params)
        if task.joined == .reused {
          try write("sandbox", of: bundle) { () throws(ShimProtocolError) in
            try BundleFiles(path: bundle.path).writeSandboxID(request.sandboxID)
          }
          configuration.onStep(.sandboxRecorded)
        }
        return task
      }
      return try await join(request, bundle: bundle, params: plan.params, address: address)
    } catch {
      await undo(bundle, binary: binary)
      throw error
    }
  }

  private func join(
    _ request: AttachRequest, bundle: Bundle, params: BootstrapParams, address: TransportAddress
  ) async throws(ShimManagementError) -> ShimTask {
    let began = ContinuousClock.now
    let files = BundleFiles(path: bundle.path)
    try write("sandbox", of: bundle) { () throws(ShimProtocolError) in
      try files.writeSandboxID(request.sandboxID)
    }
    configuration.onStep(.sandboxRecorded)
    try write("bootstrap.json", of: bundle) { () throws(ShimProtocolError) in
      try files.write(params)
    }
    configuration.onStep(.bootstrapRecorded)
    return try await connect(
      bundle, sandboxID: request.sandboxID, joined: .attached, params: params, address: address,
      since: began)
  }

  private func recordedParams(
    of request: AttachRequest
  ) throws(ShimManagementError) -> BootstrapParams? {
    guard let sandbox = try find(namespace: request.namespace, id: request.sandboxID) else {
      return nil
    }
    // An address that the caller names needs none of the sandbox's own.
    if request.endpoint != nil { return nil }
    do {
      return try BundleFiles(path: sandbox.path).restoreBootstrapParams()
    } catch {
      throw ShimManagementError(
        code: .damagedState,
        message: "cannot attach to sandbox \(request.sandboxID): its bootstrap parameters "
          + "cannot be read",
        hint: "Name the address and version of its shim, or remove the sandbox.", cause: error)
    }
  }

  private func address(
    of plan: AttachPlan, given: SandboxEndpoint?
  ) throws(ShimManagementError) -> TransportAddress {
    if let given { return given.address }
    return try endpoint(of: plan.params, for: "the sandbox")
  }

  private func shimBinary(
    ofSandbox request: AttachRequest
  ) throws(ShimManagementError) -> String {
    guard let sandbox = try find(namespace: request.namespace, id: request.sandboxID) else {
      throw ShimManagementError(
        code: .sandboxNotFound,
        message:
          "cannot run the shim binary of sandbox \(request.sandboxID): it has no bundle here",
        hint: "Attach to its address instead.")
    }
    do {
      return try BundleFiles(path: sandbox.path).readShimBinaryPath()
    } catch {
      throw ShimManagementError(
        code: .damagedState,
        message: "cannot tell which shim binary serves sandbox \(request.sandboxID)", cause: error)
    }
  }
}
