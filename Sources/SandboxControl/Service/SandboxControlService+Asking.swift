internal import ContainerdAPI
public import ContainerdClient
public import SwiftProtobuf
internal import Synchronization

extension SandboxControlService {
  /// What the controller says of a sandbox.
  public struct Status: Sendable {
    public var name: SandboxName
    public var driver: String
    public var runtime: String
    /// `SANDBOX_READY`, `SANDBOX_NOTREADY`, or `SANDBOX_UNKNOWN` while it cannot be reached.
    public var state: String
    public var createdAt: Google_Protobuf_Timestamp
    public var instance: SandboxInstance?
    public var exit: SandboxExit?
    public var info: [String: String]
  }

  /// What there is to say of a sandbox: also of one that has ended, or is not reachable.
  ///
  /// - Parameter verbose: has it asked for more, which it may fail to answer; `info` says so then.
  /// - Throws: `sandboxNotFound`, `damagedRecord`.
  public func status(
    _ name: SandboxName, verbose: Bool = false
  ) async throws(SandboxControlError) -> Status {
    let sandbox = try find(name)
    var info: [String: String] = [:]
    if verbose {
      info = await asked(sandbox)
      info["hawsepipe.driver"] = sandbox.driver.name
      info["hawsepipe.state"] = sandbox.machine.state.rawValue
      for (key, value) in sandbox.order.request.sandbox.labels {
        info["hawsepipe.label.\(key)"] = value
      }
    }
    let now = sandbox.snapshot
    return Status(
      name: name, driver: sandbox.driver.name, runtime: now.stored.order.runtime,
      state: now.stored.machine.reported, createdAt: now.stored.createdAt,
      instance: now.stored.machine.instance, exit: now.stored.machine.exit, info: info)
  }

  private func asked(_ sandbox: ControlledSandbox) async -> [String: String] {
    guard let driven = sandbox.driven, sandbox.machine.exit == nil else { return [:] }
    do throws(SandboxControlError) {
      return try await withLimit(limits.state, "asking sandbox \(sandbox.name)") {
        () throws(SandboxControlError) in try await driven.status(verbose: true).info
      }
    } catch {
      return ["hawsepipe.problem": "\(error)"]
    }
  }

  /// The sandboxes of a namespace, by their ids.
  public func list(namespace: String) -> [SandboxName] {
    table.withLock { $0.sandboxes.keys.filter { $0.namespace == namespace } }.sorted()
  }

  /// What runs in a sandbox. It is asked once.
  public func platform(_ name: SandboxName) async throws(SandboxControlError) -> SandboxPlatform {
    let sandbox = try find(name)
    if let known = sandbox.snapshot.platform { return known }
    let driven = try reachable(sandbox)
    let platform = try await withLimit(limits.state, "asking sandbox \(name) for its platform") {
      () throws(SandboxControlError) in try await driven.platform()
    }
    sandbox.change { $0.platform = platform }
    return platform
  }

  public func metrics(_ name: SandboxName) async throws(SandboxControlError) -> SandboxMetrics {
    let driven = try reachable(try find(name))
    return try await withLimit(limits.metrics, "asking sandbox \(name) for its metrics") {
      () throws(SandboxControlError) in try await driven.metrics()
    }
  }

  private func reachable(
    _ sandbox: ControlledSandbox
  ) throws(SandboxControlError) -> any DrivenSandbox {
    let now = sandbox.snapshot
    if let driven = now.driven, now.stored.machine.exit == nil { return driven }
    guard now.stored.machine.exit == nil else {
      throw SandboxControlError(
        code: .wrongState, message: "sandbox \(sandbox.name) has ended")
    }
    throw SandboxControlError(
      code: .unreachable, message: "sandbox \(sandbox.name) cannot be reached now")
  }
}
