public import ContainerdClient
public import RPCCore
internal import ShimProtocol
internal import Synchronization
public import TransportCore

/// A sandbox that its shim serves by the sandbox API, and the line to that shim.
///
/// It holds its share of the connection until ``ShimManager/shutDown(_:)`` or
/// ``ShimManager/release(_:)-(ShimSandbox)``. Calls are bounded by the manager's limits;
/// ``client`` makes them without.
public final class ShimSandbox: Sendable, LineHolder {
  public let bundle: Bundle
  /// The shim's address, with the protocol.
  public let address: TransportAddress
  /// The version of the task API that the shim says it serves: 2 or 3.
  public let version: Int

  let log: ShimLog?
  let manager: ShimManager.Configuration
  private let way: Mutex<ShimConnections.Lease>
  private let onStart: @Sendable (ShimSandbox) -> Void

  public var id: String { bundle.id }
  public var namespace: String { bundle.namespace }
  /// The connection to the shim, which the sandbox's tasks share.
  public var connection: any RPCConnection { lease.connection }
  /// The shim's sandbox service.
  public var client: SandboxClient<RPCLine> {
    SandboxClient(caller: lease.line, namespace: namespace)
  }
  var lease: ShimConnections.Lease { way.withLock { $0 } }

  init(
    bundle: Bundle, address: TransportAddress, version: Int, lease: ShimConnections.Lease,
    log: ShimLog?, manager: ShimManager.Configuration,
    onStart: @escaping @Sendable (ShimSandbox) -> Void
  ) {
    self.bundle = bundle
    self.address = address
    self.version = version
    self.log = log
    self.manager = manager
    self.way = Mutex(lease)
    self.onStart = onStart
  }

  func relink(_ lease: ShimConnections.Lease) { way.withLock { $0 = lease } }

  /// Makes a call and says, when it fails, what failed on what.
  ///
  /// - Parameter action: the verb for the message, such as "start".
  /// - Throws: ``ShimManagementError`` with code `.shimDied` when the connection was lost, `.timedOut`
  ///   when the shim did not answer, else `.callFailed`; the cause is the ``RPCError``.
  public func call<Result: Sendable>(
    _ action: String,
    _ body: @Sendable (SandboxClient<RPCLine>) async throws(RPCError) -> Result
  ) async throws(ShimManagementError) -> Result {
    do {
      return try await body(client)
    } catch {
      throw ShimManagementError(
        action: action, subject: "sandbox \(id)", address: address, error)
    }
  }

  /// Starts the sandbox, which ``ShimManager/createSandbox(_:)`` made ready.
  @discardableResult
  public func start() async throws(ShimManagementError) -> SandboxStart {
    let limit = manager.limits.change
    let start = try await call("start") { client throws(RPCError) in
      try await client.start(self.id, timeout: limit)
    }
    onStart(self)
    return start
  }

  /// Ends the sandbox. What is left of it can still be asked for.
  ///
  /// - Parameter grace: how long the shim may take to end it in order; `nil`: it knows itself.
  public func stop(grace: Duration? = nil) async throws(ShimManagementError) {
    let limit = manager.limits.change + (grace ?? .zero)
    try await call("stop") { client throws(RPCError) in
      try await client.stop(self.id, grace: grace, timeout: limit)
    }
  }

  /// Waits until the sandbox has ended.
  ///
  /// - Parameter timeout: `nil`: there is no limit but the connection's life.
  public func wait(timeout: Duration? = nil) async throws(ShimManagementError) -> SandboxExit {
    try await call("wait for") { client throws(RPCError) in
      try await client.wait(self.id, timeout: timeout)
    }
  }

  public func status(verbose: Bool = false) async throws(ShimManagementError) -> SandboxStatus {
    let limit = manager.limits.query
    return try await call("ask for the state of") { client throws(RPCError) in
      try await client.status(self.id, verbose: verbose, timeout: limit)
    }
  }

  /// Sees whether the shim is there and has the sandbox.
  public func ping() async throws(ShimManagementError) {
    let limit = manager.limits.query
    try await call("reach") { client throws(RPCError) in
      try await client.ping(self.id, timeout: limit)
    }
  }

  public func platform() async throws(ShimManagementError) -> SandboxPlatform {
    let limit = manager.limits.query
    return try await call("ask for the platform of") { client throws(RPCError) in
      try await client.platform(self.id, timeout: limit)
    }
  }

  public func metrics() async throws(ShimManagementError) -> SandboxMetrics {
    let limit = manager.limits.query
    return try await call("measure") { client throws(RPCError) in
      try await client.metrics(self.id, timeout: limit)
    }
  }
}
