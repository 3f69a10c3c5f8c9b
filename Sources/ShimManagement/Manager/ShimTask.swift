public import ContainerdClient
internal import Logging
public import RPCCore
internal import ShimProtocol
internal import SwiftProtobuf
internal import Synchronization
public import TransportCore

/// A task's line to the shim that serves it: its own, or its sandbox's.
///
/// It holds its share of the connection until ``ShimManager/delete(_:)`` or
/// ``ShimManager/release(_:)``.
public final class ShimTask: Sendable, LineHolder {
  /// How the task came to its shim.
  public enum Joined: String, Sendable, Hashable {
    /// A shim was started for it.
    case started
    /// The shim binary was run, and answered with the address of the sandbox's running shim.
    case reused
    /// It was attached to the sandbox's running shim; no binary was run.
    case attached
    /// It was there before; this process found its bundle.
    case loaded
  }

  public let bundle: Bundle
  /// The sandbox that the task belongs to. `nil`: it has a shim of its own.
  public let sandboxID: String?
  public let joined: Joined
  /// The shim's address, with the protocol.
  public let address: TransportAddress
  /// From the request until the connection stood.
  public let joinDuration: Duration

  /// The log of the shim that was started for this task, read for as long as this is held.
  let log: ShimLog?
  private let manager: ShimManager.Configuration
  private let way: Mutex<Way>

  /// The connection that is used now, and what is spoken over it.
  private struct Way {
    var lease: ShimConnections.Lease
    var client: TaskClient<RPCLine>
  }

  public var id: String { bundle.id }
  public var namespace: String { bundle.namespace }
  /// The version of the task API that is spoken. It falls from 3 to 2 when the shim turns out not to
  /// know 3.
  public var version: Int { client.version }
  /// The task service, in the version that is spoken.
  public var client: TaskClient<RPCLine> { way.withLock { $0.client } }
  /// The connection to the shim, which its other tasks share.
  public var connection: any RPCConnection { lease.connection }
  var lease: ShimConnections.Lease { way.withLock { $0.lease } }

  init(
    bundle: Bundle, sandboxID: String?, joined: Joined, params: BootstrapParams,
    address: TransportAddress, joinDuration: Duration, lease: ShimConnections.Lease,
    log: ShimLog?, manager: ShimManager.Configuration
  ) throws(ShimManagementError) {
    let service: TaskClient<RPCLine>
    do {
      service = try TaskClient(
        line: lease.line, version: params.version, namespace: bundle.namespace)
    } catch {
      throw ShimManagementError(
        code: .attachFailed, message: "cannot talk to the shim of \(bundle.id) at \(address)",
        cause: error)
    }
    self.bundle = bundle
    self.sandboxID = sandboxID
    self.joined = joined
    self.address = address
    self.joinDuration = joinDuration
    self.log = log
    self.manager = manager
    self.way = Mutex(Way(lease: lease, client: service))
  }

  func relink(_ lease: ShimConnections.Lease) {
    way.withLock { way in
      way.lease = lease
      way.client = way.client.relinked(lease.line)
    }
  }

  /// Makes a call and says, when it fails, what failed on what.
  ///
  /// - Parameter action: the verb for the message, such as "start".
  /// - Throws: ``ShimManagementError`` with code `.shimDied` when the connection was lost, `.timedOut`
  ///   when the shim did not answer, else `.callFailed`; the cause is the ``RPCError``.
  public func call<Result: Sendable>(
    _ action: String,
    _ body: @Sendable (TaskClient<RPCLine>) async throws(RPCError) -> Result
  ) async throws(ShimManagementError) -> Result {
    do {
      return try await body(client)
    } catch {
      throw failure(of: action, error)
    }
  }

  /// Creates the task. A shim that turns out here not to speak the version that its bootstrap
  /// parameters say, because Connect could not tell, is tried with version 2, which is then kept in
  /// the bundle.
  ///
  /// - Returns: the pid of the task's init, which waits until ``start()``.
  /// - Throws: ``ShimManagementError`` with `.invalidRootfs` when a mount's target leads out of the root
  ///   file system, else as ``call(_:_:)``.
  public func create(_ creation: TaskCreation) async throws(ShimManagementError) -> UInt32 {
    try await validate(creation.rootfs)
    let limit = manager.limits.change
    let pid = try await negotiating("create") { client throws(RPCError) in
      try await self.inTurn(client) { () throws(RPCError) in
        try await client.create(creation, timeout: limit)
      }
    }
    manager.onStep(.taskCreated)
    return pid
  }

  /// A shim mounts as root, where it is told: no target may lead it out of the bundle.
  private func validate(_ rootfs: [RootMount]) async throws(ShimManagementError) {
    let directory = bundle.rootfsPath
    try await offload { () throws(ShimManagementError) in
      for mount in rootfs { try mount.validateTarget(in: directory) }
    }
  }

  /// Asks who serves the task. It is answered before the task is created, too.
  public func connect() async throws(ShimManagementError) -> ShimConnection {
    try await connect(within: manager.limits.query)
  }

  func connect(
    within limit: Duration
  ) async throws(ShimManagementError) -> ShimConnection {
    try await negotiating("reach the shim of") { client throws(RPCError) in
      try await client.connect(self.id, timeout: limit)
    }
  }

  /// Sees whether the shim answers at all, before anything is created in it.
  ///
  /// - Returns: its pid, if it says. An error that the shim answers with is an answer: not every shim
  ///   takes Connect for a task that it does not know.
  func probe(within limit: Duration) async throws(ShimManagementError) -> Int32? {
    do {
      let pid = try await connect(within: limit).shimPID
      return pid == 0 ? nil : Int32(clamping: pid)
    } catch  where error.code == .callFailed {
      return nil
    }
  }

  /// Starts the created task.
  ///
  /// - Returns: the pid of its init.
  @discardableResult
  public func start() async throws(ShimManagementError) -> UInt32 {
    let limit = manager.limits.change
    let pid = try await call("start") { client throws(RPCError) in
      try await self.inTurn(client) { () throws(RPCError) in
        try await client.start(self.id, timeout: limit)
      }
    }
    manager.onStep(.taskStarted)
    return pid
  }

  /// Waits until the task, or one of its execs, has ended.
  ///
  /// - Parameter timeout: `nil`: there is no limit but the connection's life.
  public func wait(
    execID: String? = nil, timeout: Duration? = nil
  ) async throws(ShimManagementError) -> TaskExit {
    try await call("wait for") { client throws(RPCError) in
      try await client.wait(self.id, execID: execID, timeout: timeout)
    }
  }

  /// Makes a call by which the shim makes a container, when it may: a shim of containerd 1.x is asked
  /// for one at a time (``CallGate`` says why).
  private func inTurn<Value: Sendable>(
    _ client: TaskClient<RPCLine>, _ body: @Sendable () async throws(RPCError) -> Value
  ) async throws(RPCError) -> Value {
    try await lease.gate.pass(
      width: client.version < 3 ? 1 : manager.limits.concurrentStarts,
      within: manager.limits.change, body)
  }

  private func negotiating<Value: Sendable>(
    _ action: String,
    _ body: @Sendable (TaskClient<RPCLine>) async throws(RPCError) -> Value
  ) async throws(ShimManagementError) -> Value {
    let client = client
    do {
      let (agreed, value) = try await client.negotiating(body)
      if agreed.version != client.version {
        way.withLock { $0.client = agreed }
        rememberVersion()
      }
      return value
    } catch {
      throw failure(of: action, error)
    }
  }

  private func rememberVersion() {
    let files = BundleFiles(path: bundle.path)
    do {
      var params = try files.readBootstrapParams()
      params.version = 2
      try files.write(params)
    } catch {
      // The next process will ask again and be told the same.
      manager.logger.warning(
        "cannot record that the shim speaks version 2",
        metadata: ["id": "\(id)", "error": "\(error)"])
    }
  }

  private func failure(of action: String, _ error: RPCError) -> ShimManagementError {
    ShimManagementError(
      action: action, subject: sandboxID.map { "task \(id) in sandbox \($0)" } ?? "task \(id)",
      address: address, error)
  }
}
