internal import ContainerdClient
internal import Glibc
internal import Logging
internal import ProcessSupervision
internal import ShimProtocol
internal import SwiftProtobuf
internal import Synchronization
internal import RPCCore
internal import TransportCore

/// Starts shims, attaches tasks to sandboxes whose shim already runs, and cleans up after both.
///
/// Its state is on disk, laid out as containerd's, so that any number of processes can work on it
/// one after the other or at once: what belongs to one id is done under that id's lock.
public final class ShimManager: Sendable {
  public let configuration: Configuration
  let launcher: ShimLauncher
  let binaries = ShimBinaryLocator()
  let connections: ShimConnections
  let broadcaster = EventBroadcaster()
  private let state = Mutex(State())

  private struct State {
    /// By identity: a process may take up the same task or sandbox more than once.
    var holders: [ObjectIdentifier: any LineHolder] = [:]
    /// Those whose connection is gone, while it is found out whether their shim lives.
    var astray: [ObjectIdentifier: any LineHolder] = [:]
    var watches: [ObjectIdentifier: SandboxWatch] = [:]
    /// How sandboxes ended that said so, until it is reported.
    var endings: [Bundle: SandboxExit] = [:]
    var cleanups: [Int: Task<Void, Never>] = [:]
    var cleanupsSoFar = 0
  }

  /// - Throws: ``ShimManagementError`` when the state directory is not fit to be used.
  public init(_ configuration: Configuration) throws(ShimManagementError) {
    try configuration.directory.open()
    self.configuration = configuration
    self.launcher = ShimLauncher(configuration: configuration)
    self.connections = ShimConnections(
      registry: configuration.registry, dialers: configuration.dialers,
      limit: configuration.limits.connect)
  }

  deinit {
    // Nobody dials for them any more.
    let held = state.withLock { Array($0.holders.values) + Array($0.astray.values) }
    for holder in held { holder.letGone() }
  }

  /// The events that the manager itself publishes: the end of a task whose shim died before it could
  /// say so.
  public func events() -> AsyncStream<ShimEvent> { broadcaster.subscribe() }

  /// Waits until what was begun to clean up after lost connections is done, which is bounded by
  /// ``Limits/cleanup`` for each task.
  public func settle() async {
    while let cleanup = state.withLock({ $0.cleanups.first?.value }) {
      await cleanup.value
    }
  }

  /// Gives a task's share of its connection back, and leaves the task as it is. If the connection is
  /// gone, what a dead shim left is cleaned up (``settle()`` waits for that).
  public func release(_ task: ShimTask) async { await giveBack(task) }

  // MARK: - What the operations share

  func giveBack(_ holder: some LineHolder) async {
    // A call fails a moment before the connection's own word of its end is out.
    if !holder.lease.connection.isConnected { connectionLost(holder.lease.id) }
    guard forget(holder) else { return }
    await letGo(of: holder)
  }

  func adopt(_ holder: some LineHolder) {
    state.withLock { $0.holders[ObjectIdentifier(holder)] = holder }
    // It may have been lost before anybody was there to be told.
    if !holder.lease.connection.isConnected { connectionLost(holder.lease.id) }
  }

  /// - Returns: whether this process still knew the holder. Who is told yes owns its end.
  @discardableResult
  func forget(_ holder: any LineHolder) -> Bool {
    let (isKnown, watch) = state.withLock { state in
      let id = ObjectIdentifier(holder)
      let held = state.holders.removeValue(forKey: id)
      let astray = state.astray.removeValue(forKey: id)
      return (held != nil || astray != nil, state.watches.removeValue(forKey: id))
    }
    watch?.cancel()
    holder.letGone()
    return isKnown
  }

  /// Takes those aside that used a connection which is gone. Who comes second gets none.
  func strand(_ id: ShimConnections.ID) -> [any LineHolder] {
    state.withLock { state in
      let lost = state.holders.filter { $0.value.lease.id == id }
      for (key, holder) in lost {
        state.holders[key] = nil
        state.astray[key] = holder
      }
      return Array(lost.values)
    }
  }

  /// Has a stranded one go on with a new connection.
  ///
  /// - Returns: `false` if it was given up meanwhile: then the lease is the caller's to give back.
  func readopt(_ holder: some LineHolder, with lease: ShimConnections.Lease) -> Bool {
    state.withLock { state in
      let id = ObjectIdentifier(holder)
      guard state.astray.removeValue(forKey: id) != nil else { return false }
      holder.relink(lease)
      state.holders[id] = holder
      return true
    }
  }

  func isAstray(_ holder: any LineHolder) -> Bool {
    state.withLock { $0.astray[ObjectIdentifier(holder)] != nil }
  }

  /// - Returns: `false` if there is one by the same connection already, or nobody holds the sandbox any more.
  func keep(_ watch: SandboxWatch, of sandbox: ShimSandbox) -> Bool {
    state.withLock { state in
      let id = ObjectIdentifier(sandbox)
      guard state.holders[id] != nil, state.watches[id]?.connection != watch.connection else {
        return false
      }
      state.watches[id] = watch
      return true
    }
  }

  func drop(_ watch: SandboxWatch, of sandbox: ShimSandbox) {
    state.withLock { state in
      let id = ObjectIdentifier(sandbox)
      guard state.watches[id]?.connection == watch.connection else { return }
      state.watches[id] = nil
    }
  }

  /// The watch, which whoever takes it is to settle or cancel.
  func takeWatch(of sandbox: ShimSandbox) -> SandboxWatch? {
    state.withLock { $0.watches.removeValue(forKey: ObjectIdentifier(sandbox)) }
  }

  func remember(_ exit: SandboxExit, of bundle: Bundle) {
    state.withLock { $0.endings[bundle] = exit }
  }

  func knowsEnding(of bundle: Bundle) -> Bool {
    state.withLock { $0.endings[bundle] != nil }
  }

  /// How a sandbox ended, if it said so and that was not taken before.
  func takeEnding(of bundle: Bundle) -> SandboxExit? {
    state.withLock { $0.endings.removeValue(forKey: bundle) }
  }

  /// Gives back what a task or sandbox holds: its share of the connection, and its shim's log.
  func letGo(of holder: some LineHolder) async {
    await connections.release(holder.lease)
    await holder.log?.close()
  }

  /// Runs a cleanup that nobody's cancellation stops, and that `settle` waits for.
  @discardableResult
  func inBackground(_ cleanup: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
    state.withLock { state in
      state.cleanupsSoFar += 1
      let number = state.cleanupsSoFar
      let task = Task.detached { [self] in
        await cleanup()
        self.state.withLock { $0.cleanups[number] = nil }
      }
      state.cleanups[number] = task
      return task
    }
  }

  /// Connects to a shim, by the connection that is there or a new one.
  ///
  /// - Parameter limit: how long a new one may take; `nil`: ``Limits/connect``.
  func lease(
    _ address: TransportAddress, for subject: String, within limit: Duration? = nil
  ) async throws(ShimManagementError) -> ShimConnections.Lease {
    do {
      return try await connections.lease(address, within: limit) { [weak self] id in
        self?.connectionLost(id)
      }
    } catch let error as TransportError {
      throw ShimManagementError(
        code: Self.meansDead(error) ? .shimDied : .attachFailed,
        message: "cannot connect to the shim of \(subject) at \(address)",
        hint: Self.meansDead(error) ? "Nobody listens there any more." : nil, cause: error)
    } catch {
      throw ShimManagementError(
        code: .attachFailed, message: "cannot connect to the shim of \(subject) at \(address)",
        cause: error)
    }
  }

  /// Gives a bundle its line to a shim. A connection that came about is given back if anything after
  /// it fails.
  func connect(
    _ bundle: Bundle, sandboxID: String?, joined: ShimTask.Joined, params: BootstrapParams,
    address: TransportAddress, since began: ContinuousClock.Instant, log: ShimLog? = nil
  ) async throws(ShimManagementError) -> ShimTask {
    let lease = try await lease(address, for: sandboxID.map { "sandbox \($0)" } ?? bundle.id)
    // Taking up what is there is no step of making it.
    if joined != .loaded { configuration.onStep(.connected) }
    do throws(ShimManagementError) {
      let task = try ShimTask(
        bundle: bundle, sandboxID: sandboxID, joined: joined, params: params, address: address,
        joinDuration: ContinuousClock.now - began, lease: lease, log: log, manager: configuration)
      if joined != .loaded {
        // A shim that accepts and never answers is found out here, and not by its first Create.
        let shim = try await task.probe(within: configuration.limits.connect)
        try write(JoinRecord.file, of: bundle) { () throws(ShimProtocolError) in
          try JoinRecord(
            joined: joined, after: task.joinDuration, shim: joined == .started ? shim : nil
          )
          .write(to: BundleFiles(path: bundle.path))
        }
      }
      adopt(task)
      return task
    } catch {
      await connections.release(lease)
      throw error
    }
  }

  /// Whether a failed connect proves that no process listens any more. A time-out does not.
  static func meansDead(_ error: TransportError) -> Bool {
    guard let last = error.attempts.last?.failure, last.phase == .connect else { return false }
    return last.errno == ECONNREFUSED || last.errno == ENOENT
  }

  /// The address that bootstrap parameters name, which may be only what a file may name.
  func endpoint(
    of params: BootstrapParams, for subject: String
  ) throws(ShimManagementError) -> TransportAddress {
    do {
      return try params.endpoint(origin: .received)
    } catch {
      throw ShimManagementError(
        code: .attachFailed,
        message: "the shim of \(subject) cannot be reached at the address that it gave",
        cause: error)
    }
  }
}
