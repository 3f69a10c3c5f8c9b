internal import ShimProtocol
public import TransportCore

/// How a task joins a sandbox that already runs.
///
/// containerd decides this by itself and says nothing when it does not attach: an endpoint whose
/// version is below 3, or missing, makes it run the shim binary instead (core/runtime/v2,
/// `ShimManager.Start`). Here the caller chooses, and a choice that does not fit is an error.
public enum AttachMode: String, Sendable, Hashable, CaseIterable {
  /// Attach to an endpoint of version 3, which promises that it takes more than one task.
  case version3 = "v3"
  /// Attach to an endpoint of version 2. It promises nothing: the caller knows that the shim groups
  /// tasks (containerd's runc shim does).
  case version2 = "v2"
  /// Run the shim binary as containerd does, and see whether it answers with the sandbox's address.
  case throughBinary = "binary"
}

/// Where a sandbox's shim listens, as somebody tells it who is not its bundle.
public struct SandboxEndpoint: Sendable, Hashable {
  public var address: TransportAddress
  /// 2 or 3.
  public var version: Int

  public init(address: TransportAddress, version: Int) {
    self.address = address
    self.version = version
  }
}

/// What an attach request comes to, decided before anything is written.
struct AttachPlan: Equatable {
  enum Way: Equatable {
    case attach
    case runBinary
  }

  var way: Way
  /// The parameters to attach with. For `runBinary`: those of the sandbox, to compare the answer with.
  var params: BootstrapParams

  /// - Parameters:
  ///   - given: address and version from the caller; `nil` to use the sandbox's own.
  ///   - recorded: what the sandbox's bundle says, if there is a bundle.
  init(
    sandbox: String, mode: AttachMode, given: SandboxEndpoint?, recorded: BootstrapParams?
  ) throws(ShimManagementError) {
    let params: BootstrapParams
    switch (given, recorded) {
    case (let given?, _): params = try Self.params(of: given, sandbox: sandbox)
    case (nil, let recorded?): params = recorded
    case (nil, nil):
      throw ShimManagementError(
        code: .sandboxNotFound,
        message:
          "cannot attach to sandbox \(sandbox): it has no bundle here and no address was given",
        hint: "Start it (hawse sandbox run), or name its address and version.")
    }
    self.params = params

    switch (mode, params.version) {
    case (.throughBinary, _):
      self.way = .runBinary
    case (.version3, 3), (.version2, 2):
      self.way = .attach
    case (.version3, let version):
      throw ShimManagementError(
        code: .attachFailed,
        message: "cannot attach to sandbox \(sandbox) at \(params.address): it speaks version "
          + "\(version) of the task API, which does not promise to take a second task",
        hint: "Attach as v2 if its shim groups tasks (containerd's runc shim does), or go through "
          + "the shim binary.")
    case (.version2, let version):
      throw ShimManagementError(
        code: .attachFailed,
        message: "cannot attach to sandbox \(sandbox) as version 2: its bootstrap parameters say "
          + "version \(version)",
        hint: "Attach as v3: an endpoint that turns out to speak only version 2 is noticed then.")
    }
  }

  private static func params(
    of endpoint: SandboxEndpoint, sandbox: String
  ) throws(ShimManagementError) -> BootstrapParams {
    guard let rpc = endpoint.address.rpc else {
      throw ShimManagementError(
        code: .attachFailed,
        message: "cannot attach to sandbox \(sandbox) at \(endpoint.address): the address does not "
          + "say which protocol is spoken there",
        hint: "Write ttrpc+\(endpoint.address) or grpc+\(endpoint.address).")
    }
    guard (2...3).contains(endpoint.version) else {
      throw ShimManagementError(
        code: .attachFailed,
        message: "cannot attach to sandbox \(sandbox) at \(endpoint.address): there is no version "
          + "\(endpoint.version) of the task API",
        hint: "Name version 3, or 2 for a shim of containerd 1.x.")
    }
    guard rpc == .ttrpc || endpoint.version == 3 else {
      throw ShimManagementError(
        code: .attachFailed,
        message: "cannot attach to sandbox \(sandbox) at \(endpoint.address): version 2 of the "
          + "task API is spoken over ttrpc only",
        hint: "Name version 3, or a ttrpc address.")
    }
    return BootstrapParams(
      version: endpoint.version, address: endpoint.address.shimAddress, protocolName: rpc.rawValue)
  }
}
