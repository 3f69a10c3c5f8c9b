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
  private let line: SandboxLine
  private let onStart: @Sendable (ShimSandbox) -> Void

  public var id: String { bundle.id }
  public var namespace: String { bundle.namespace }
  /// The connection to the shim, which the sandbox's tasks share.
  public var connection: any RPCConnection { lease.connection }
  /// The shim's sandbox service.
  public var client: SandboxClient<RPCLine> {
    SandboxClient(caller: lease.line, namespace: namespace)
  }
  var lease: ShimConnections.Lease { line.lease }

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
    self.line = SandboxLine(lease)
    self.onStart = onStart
  }

  func relink(_ lease: ShimConnections.Lease) { line.relink(lease) }
  func letGone() { line.end() }

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

  /// Waits until the sandbox has ended. A connection that is lost while its shim lives does not end the
  /// wait: it goes on over the next one.
  ///
  /// - Parameter timeout: for all of it; `nil`: there is no limit but the shim's life.
  /// - Throws: ``ShimManagementError`` with code `.shimDied` when the shim has ended, or the sandbox was
  ///   released; `.timedOut`, `.cancelled`; `.callFailed` for what the shim has against it.
  public func wait(timeout: Duration? = nil) async throws(ShimManagementError) -> SandboxExit {
    let deadline = timeout.map { ContinuousClock.now + $0 }
    while true {
      let lease = lease
      let left = deadline.map { max(.zero, $0 - ContinuousClock.now) }
      let client = SandboxClient(caller: lease.line, namespace: namespace)
      let failure: RPCError
      do { return try await client.wait(id, timeout: left) } catch { failure = error }
      if failure.reason == .connectionClosed, await hasOther(than: lease, by: deadline) { continue }
      throw ShimManagementError(
        action: "wait for", subject: "sandbox \(id)", address: address,
        ended(failure, by: deadline))
    }
  }

  /// Waits until it is known what comes after a connection that was lost.
  private func hasOther(
    than lost: ShimConnections.Lease, by deadline: ContinuousClock.Instant?
  ) async -> Bool {
    let outcome = Mutex<Bool?>(nil)
    guard let deadline else { return await line.hasOther(than: lost.id) }
    await first(within: max(.zero, deadline - ContinuousClock.now)) { [line] in
      let hasOther = await line.hasOther(than: lost.id)
      outcome.withLock { $0 = hasOther }
    }
    return outcome.withLock { $0 } ?? false
  }

  /// What a wait that was not to go on came to in truth.
  private func ended(_ failure: RPCError, by deadline: ContinuousClock.Instant?) -> RPCError {
    guard failure.reason == .connectionClosed else { return failure }
    if Task.isCancelled {
      return RPCError(
        code: .cancelled, message: "the wait was cancelled", reason: .cancelled, cause: failure)
    }
    guard let deadline, deadline <= .now else { return failure }
    return RPCError(
      code: .deadlineExceeded, message: "the sandbox has not ended in time", reason: .deadline,
      cause: failure)
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
