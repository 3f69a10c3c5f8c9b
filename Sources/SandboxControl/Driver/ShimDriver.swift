internal import ContainerdAPI
internal import ContainerdClient
internal import Logging
internal import RPCCore
public import ShimManagement
internal import SwiftProtobuf
internal import TransportCore

/// Sandboxes as shims of this host, which serve the Sandbox API themselves.
public struct ShimDriver: SandboxDriver {
  public let name: String
  let manager: ShimManager
  let binary: String?

  /// - Parameters:
  ///   - manager: on the state directory that the bundles lie in.
  ///   - binary: the shims' binary; nil: it is found by the runtime's name.
  public init(name: String, manager: ShimManager, binary: String? = nil) {
    self.name = name
    self.manager = manager
    self.binary = binary
  }

  public func create(
    _ order: SandboxOrder
  ) async throws(SandboxControlError) -> any DrivenSandbox {
    guard let runtime = binary ?? (order.runtime.isEmpty ? nil : order.runtime) else {
      throw SandboxControlError(
        code: .invalidRequest, message: "sandbox \(order.name) names no runtime",
        hint: "Set binary under [drivers.\(name)] to use one for all.")
    }
    let request = order.request
    let wanted = ShimManager.SandboxRequest(
      namespace: order.name.namespace, id: order.name.id, runtime: runtime,
      spec: request.sandbox.hasSpec ? Array(request.sandbox.spec.value) : [],
      options: request.hasOptions ? request.options : nil, runtimeOptions: order.runtimeOptions,
      rootfs: request.rootfs.map {
        RootMount(type: $0.type, source: $0.source, target: $0.target, options: $0.options)
      },
      netnsPath: request.netnsPath, annotations: request.annotations)
    let sandbox = try await Self.managed("cannot create sandbox \(order.name)") {
      () throws(ShimManagementError) in try await manager.createSandbox(wanted)
    }
    return ShimDrivenSandbox(name: order.name, sandbox: sandbox, manager: manager)
  }

  public func restore(
    _ order: SandboxOrder, instance: SandboxInstance?
  ) async throws(SandboxControlError) -> (any DrivenSandbox)? {
    let (namespace, id) = (order.name.namespace, order.name.id)
    let sandbox: ShimSandbox
    do throws(ShimManagementError) {
      sandbox = try await manager.loadSandbox(namespace: namespace, id: id)
    } catch {
      switch error.code {
      case .sandboxNotFound, .shimDied: return nil
      default: throw Self.converted("cannot find sandbox \(order.name)", error)
      }
    }
    do throws(ShimManagementError) {
      _ = try await sandbox.status()
    } catch {
      await manager.release(sandbox)
      // It answers, and has no such sandbox: another process took its address.
      if (error.cause as? RPCError)?.code == .notFound { return nil }
      throw Self.converted("cannot find sandbox \(order.name)", error)
    }
    return ShimDrivenSandbox(name: order.name, sandbox: sandbox, manager: manager)
  }

  public func remove(_ order: SandboxOrder) async throws(SandboxControlError) {
    let (namespace, id) = (order.name.namespace, order.name.id)
    do throws(ShimManagementError) {
      let sandbox = try await manager.loadSandbox(namespace: namespace, id: id)
      try await manager.shutDown(sandbox)
      return
    } catch {
      if error.code == .sandboxNotFound, try await !isThere(order) { return }
    }
    try await Self.managed("cannot remove sandbox \(order.name)") {
      () throws(ShimManagementError) in
      do throws(ShimManagementError) {
        try await manager.discard(namespace: namespace, id: id)
      } catch {
        guard error.code == .taskNotFound || error.code == .bundleNotFound else { throw error }
      }
    }
  }

  private func isThere(_ order: SandboxOrder) async throws(SandboxControlError) -> Bool {
    do throws(ShimManagementError) {
      _ = try Bundle.load(
        id: order.name.id, namespace: order.name.namespace, in: manager.configuration.directory)
      return true
    } catch {
      if error.code == .bundleNotFound { return false }
      throw Self.converted("cannot look for sandbox \(order.name)", error)
    }
  }

  // MARK: Errors

  static func managed<Value: Sendable>(
    _ what: String, _ body: () async throws(ShimManagementError) -> Value
  ) async throws(SandboxControlError) -> Value {
    do throws(ShimManagementError) { return try await body() } catch {
      throw converted(what, error)
    }
  }

  /// The status is that of the shim's own answer, where there is one.
  static func converted(_ what: String, _ error: ShimManagementError) -> SandboxControlError {
    let answer = error.cause as? RPCError
    let code: SandboxControlError.Code =
      switch error.code {
      case .shimDied: .unreachable
      case .timedOut, .busy: .timedOut
      case .cancelled: .cancelled
      case .sandboxNotFound, .bundleNotFound: .sandboxNotFound
      case .bundleExists: .sandboxExists
      case .runtimeNotFound: .invalidConfiguration
      case .attachFailed: .unreachable
      case .callFailed where answer?.code == .unimplemented: .unsupported
      case .callFailed: .callFailed
      default: .callFailed
      }
    var converted = SandboxControlError(
      code: code, message: "\(what): \(error.message)", hint: error.hint, cause: error.cause)
    if error.cause == nil { converted.cause = nil }
    return converted
  }
}

/// A sandbox behind a shim of this host.
struct ShimDrivenSandbox: DrivenSandbox {
  let name: SandboxName
  let sandbox: ShimSandbox
  let manager: ShimManager

  private func call<Value: Sendable>(
    _ body: () async throws(ShimManagementError) -> Value
  ) async throws(SandboxControlError) -> Value {
    try await ShimDriver.managed("sandbox \(name)", body)
  }

  func start() async throws(SandboxControlError) -> SandboxInstance {
    let started = try await call { () throws(ShimManagementError) in try await sandbox.start() }
    let address = sandbox.address
    return SandboxInstance(
      pid: started.pid, createdAt: started.createdAt ?? .now,
      address: "\((address.rpc ?? .ttrpc).rawValue)+\(address.shimAddress)",
      version: await taskVersion(), spec: started.spec)
  }

  /// The newest version of the task API that the shim serves.
  ///
  /// What it said at its start may be less: the dialect of containerd 1.7 to 2.2 has no word for
  /// "whichever you want", and shims that serve 1.7, too, say 2 there. containerd attaches tasks from
  /// 3 on alone, and starts a shim of its own otherwise, without a word.
  private func taskVersion() async -> UInt32 {
    let told = UInt32(clamping: sandbox.version)
    guard told < 3 else { return told }
    let line = RPCLine(sandbox.connection)
    do {
      let tasks = try TaskClient(line: line, version: 3, namespace: name.namespace)
      _ = try await tasks.connect(name.id, timeout: manager.configuration.limits.query)
      return 3
    } catch let error as RPCError {
      // Any other answer is one of a service that is there.
      return error.reason == .status && error.code != .unimplemented ? 3 : told
    } catch {
      return told
    }
  }

  func stop(within limit: Duration) async throws(SandboxControlError) {
    try await call { () throws(ShimManagementError) in try await sandbox.stop(grace: limit) }
  }

  func wait() async throws(SandboxControlError) -> SandboxExit {
    try await call { () throws(ShimManagementError) in try await sandbox.wait() }
  }

  func status(verbose: Bool) async throws(SandboxControlError) -> DrivenStatus {
    let status = try await call { () throws(ShimManagementError) in
      try await sandbox.status(verbose: verbose)
    }
    return DrivenStatus(pid: status.pid, state: status.state.rawValue, info: status.info)
  }

  func platform() async throws(SandboxControlError) -> SandboxPlatform {
    try await call { () throws(ShimManagementError) in try await sandbox.platform() }
  }

  func metrics() async throws(SandboxControlError) -> SandboxMetrics {
    try await call { () throws(ShimManagementError) in try await sandbox.metrics() }
  }

  func ping() async throws(SandboxControlError) {
    try await call { () throws(ShimManagementError) in try await sandbox.ping() }
  }

  func update(
    _ record: SandboxRecord, fields: [String]
  ) async throws(SandboxControlError) {
    let limit = manager.configuration.limits.query
    try await call { () throws(ShimManagementError) in
      try await sandbox.call("update") { client throws(RPCError) in
        try await client.update(record, fields: fields, timeout: limit)
      }
    }
  }

  func shutDown() async throws(SandboxControlError) {
    try await call { () throws(ShimManagementError) in try await manager.shutDown(sandbox) }
  }

  func release() async { await manager.release(sandbox) }
}
