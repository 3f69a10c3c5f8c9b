import ContainerdClient
import Logging
import ShimManagement
import ShimProtocol
import SwiftProtobuf
import TransportCore

/// How `hawse task run` gives a task its shim: its sandbox's, or one of its own.
struct TaskJoin {
  var session: Session
  var command: TaskRun
  var id: String

  private var manager: ShimManager { session.manager }
  private var namespace: String { command.options.namespace }

  /// Marks the spec for its sandbox, and joins.
  ///
  /// - Returns: the task's line, and the runtime options for its creation.
  func join(_ spec: inout OCISpec) async throws -> (ShimTask, Google_Protobuf_Any?) {
    guard let sandbox = command.sandbox else { return try await startAlone(spec) }
    SandboxMark.markTask(&spec, ofSandbox: sandbox)
    let binary = shimBinary(of: sandbox)
    if !command.ownNamespaces && command.container.config == nil && command.address == nil {
      try await shareNamespaces(of: sandbox, with: &spec)
    }
    let packed = try command.runtimeFlags.packed(for: binary, state: session.directory.state)
    let task = try await manager.attach(
      .init(
        namespace: namespace, id: id, sandboxID: sandbox, mode: try mode(sandbox, binary: binary),
        endpoint: try endpoint(), spec: spec.bytes(), options: packed))
    session.logger.debug(
      "joined",
      metadata: ["id": "\(id)", "how": "\(task.joined.rawValue)", "at": "\(task.address)"])
    if task.joined == .started {
      Output.note(
        "the shim binary started a shim of its own for \(id) instead of reusing \(sandbox)'s")
    }
    return (task, packed)
  }

  private func startAlone(_ spec: OCISpec) async throws -> (ShimTask, Google_Protobuf_Any?) {
    let packed = try command.runtimeFlags.packed(
      for: command.runtime, state: session.directory.state)
    let task = try await manager.start(
      .init(
        namespace: namespace, id: id, runtime: command.runtime, spec: spec.bytes(),
        options: packed))
    return (task, packed)
  }

  private func endpoint() throws -> SandboxEndpoint? {
    guard let text = command.address, let version = command.apiVersion else { return nil }
    return SandboxEndpoint(
      address: try RecordedAddress.check(
        text, option: "--address", registry: manager.configuration.registry), version: version)
  }

  /// Shims known to take further tasks though they speak version 2, which does not promise it.
  private static let grouping = ["containerd-shim-runc-v2", "containerd-shim-hawsepipe-v1"]

  /// What `auto` comes to: the version that is known, and version 2 only where a shim serves that is
  /// known to group tasks.
  private func mode(_ sandbox: String, binary: String?) throws -> AttachMode {
    if let chosen = command.attach.mode { return chosen }
    if let version = command.apiVersion { return version == 2 ? .version2 : .version3 }
    let bundle = session.directory.bundlePath(namespace: namespace, id: sandbox)
    let params = try? BundleFiles(path: bundle).restoreBootstrapParams()
    // Parameters that cannot be read are attach's to report.
    guard params?.version == 2 else { return .version3 }
    let name = binary.flatMap { $0.split(separator: "/").last }
    return Self.grouping.contains { $0 == name ?? "" } ? .version2 : .version3
  }

  /// The shim binary that serves a sandbox, where its bundle knows it.
  private func shimBinary(of sandbox: String) -> String? {
    let path = session.directory.bundlePath(namespace: namespace, id: sandbox)
    return try? BundleFiles(path: path).readShimBinaryPath()
  }

  private func shareNamespaces(of sandbox: String, with spec: inout OCISpec) async throws {
    let report = try await manager.report(namespace: namespace, id: sandbox)
    guard let pid = report.state?.pid, pid > 0, report.state?.status == .running else {
      throw ShimManagementError(
        code: .sandboxNotFound,
        message:
          "cannot attach to sandbox \(sandbox): its first task does not run, so there are no "
          + "namespaces to share",
        hint: "See hawse sandbox inspect \(sandbox), or use --own-namespaces.")
    }
    try spec.joinNamespaces(of: Int32(pid))
  }
}
