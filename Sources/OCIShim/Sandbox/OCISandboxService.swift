internal import ContainerdAPI
internal import Glibc
internal import LinuxSystem
public import Logging
internal import ProcessSupervision
public import RPCCore
internal import SwiftProtobuf
internal import Synchronization

/// The sandbox service: one sandbox, whose namespaces a process of ours holds, so that pods need no pause
/// image.
///
/// Containers join it by the paths of that process's namespaces; they are the task service's own.
public final class OCISandboxService: Sendable {
  struct Sandbox {
    var held: HeldSandbox
    var createdAt: WallTime
    var machine = SandboxStateMachine()
    var holder: (any SandboxHolder)?
    var journal: JournalRecord
    let promise = ExitPromise()
  }

  struct Table {
    var sandbox: Sandbox?
    /// Whether one is being made.
    var isCreating = false
    var hasContainers: @Sendable () -> Bool = { false }
  }

  let namespace: String
  let logger: Logger
  let holders: any SandboxHolders
  let metrics: (any ContainerMetrics)?
  let endProcess: @Sendable () -> Void
  let table = Mutex(Table())

  /// How long a holder has to end by itself when the caller gives no time, in seconds.
  static let stopSeconds: UInt32 = 2
  /// No caller waits longer than this, in seconds.
  static let longestStopSeconds: UInt32 = 60

  init(
    namespace: String, logger: Logger, holders: any SandboxHolders,
    metrics: (any ContainerMetrics)?, shutDown: @escaping @Sendable () -> Void
  ) {
    self.namespace = namespace
    self.logger = logger
    self.holders = holders
    self.metrics = metrics
    endProcess = shutDown
  }

  /// - Parameters:
  ///   - metrics: of the holder's cgroup; nil: SandboxMetrics answers NotFound.
  ///   - shutDown: called when the sandbox was shut down.
  public convenience init(
    namespace: String, logger: Logger, metrics: (any ContainerMetrics)? = nil,
    shutDown: @escaping @Sendable () -> Void
  ) {
    self.init(
      namespace: namespace, logger: logger,
      holders: ProgramHolders(), metrics: metrics,
      shutDown: shutDown)
  }

  /// Whether the process has to go on for a sandbox when no container is left.
  public var isInUse: Bool { table.withLock { $0.sandbox != nil || $0.isCreating } }

  /// Has it not shut down while the process serves containers.
  public func refuseShutDown(while hasContainers: @escaping @Sendable () -> Bool) {
    table.withLock { $0.hasContainers = hasContainers }
  }

  public func register(on registrar: inout some RPCRegistrar) {
    let service: some Containerd_Runtime_Sandbox_V1_SandboxService = self
    service.register(on: &registrar, execution: .pool)
  }

  // MARK: Create and start

  func create(_ held: HeldSandbox) async throws {
    try table.withLock { table throws(RPCError) in
      if table.isCreating || table.sandbox != nil {
        let other = table.sandbox?.held.id ?? "another one"
        throw RPCError(
          code: .alreadyExists, message: "this shim has sandbox \(other): already exists")
      }
      table.isCreating = true
    }
    do {
      let record = JournalRecord(id: held.id, namespace: namespace)
      try await onThread { try Journal(bundle: held.bundle).write(record) }
      let sandbox = Sandbox(held: held, createdAt: .now, journal: record)
      table.withLock { table in
        table.sandbox = sandbox
        table.isCreating = false
      }
    } catch {
      table.withLock { $0.isCreating = false }
      throw error
    }
  }

  /// - Returns: the holder's pid.
  func start(_ id: String) async throws -> Int32 {
    let held = try changing(id) { sandbox throws(RPCError) in
      do throws(SandboxStateMachine.Refusal) { try sandbox.machine.start() } catch {
        throw RPCError(
          code: .failedPrecondition,
          message: "sandbox \(id) was started before: failed precondition"
        )
      }
      return sandbox.held
    }
    do {
      let holder = try await onThread { try self.startHolder(held) }
      try changing(id) { sandbox in
        sandbox.holder = holder
        sandbox.machine.started(pid: holder.pid)
      }
      Task { self.ended(id, ProcessEnd(status: await holder.wait(), time: .now)) }
      return holder.pid
    } catch {
      let end = ProcessEnd(status: 255, time: .now)
      try changing(id) { $0.machine.startFailed(end) }
      table.withLock { $0.sandbox?.promise.resolve(end) }
      throw error
    }
  }

  /// Blocks.
  private func startHolder(_ held: HeldSandbox) throws -> any SandboxHolder {
    let holder = try holders.hold(held)
    do {
      try journal { record in
        record.initProcess = .init(
          pid: holder.pid, startTime: ProcessIdentity(pid: holder.pid)?.startTime)
      }
    } catch {
      holder.signal(SIGKILL)
      throw error
    }
    return holder
  }

  // MARK: Ends

  private func ended(_ id: String, _ end: ProcessEnd) {
    let promise = table.withLock { table -> ExitPromise? in
      guard table.sandbox?.held.id == id else { return nil }
      table.sandbox?.machine.ended(end)
      return table.sandbox?.promise
    }
    guard let promise else { return }
    Task {
      do {
        try await onThread { try self.journal { $0.exit = end } }
      } catch {
        self.logger.error(
          "a sandbox's end is not in the journal",
          metadata: ["sandbox": "\(id)", "error": "\(error)"])
      }
      promise.resolve(end)
    }
  }

  /// Returns when nothing of the sandbox runs any more.
  func stop(_ id: String, seconds: UInt32) async throws {
    let limit = min(seconds == 0 ? Self.stopSeconds : seconds, Self.longestStopSeconds)
    let deadline = ContinuousClock.now + .seconds(Int64(limit))
    while true {
      let (step, holder, promise) = try changing(id) { sandbox in
        (
          sandbox.machine.stop(now: ProcessEnd(status: 0, time: .now)), sandbox.holder,
          sandbox.promise
        )
      }
      switch step {
      case .over:
        // Written down by whoever ends it; one that never ran has nobody else.
        if holder == nil { promise.resolve(ProcessEnd(status: 0, time: .now)) }
        return
      case .wait:
        try await Task.sleep(for: .milliseconds(5))
      case .endHolder:
        holder?.signal(SIGTERM)
        if await isOver(promise, by: deadline) { return }
        holder?.signal(SIGKILL)
        guard await isOver(promise, by: .now + .seconds(5)) else {
          throw RPCError(
            code: .deadlineExceeded, message: "what holds sandbox \(id) does not end when killed")
        }
        return
      }
    }
  }

  private func isOver(_ promise: ExitPromise, by deadline: ContinuousClock.Instant) async -> Bool {
    await withTaskGroup(of: Bool.self) { group in
      group.addTask { await promise.isResolvedBeforeCancellation() }
      group.addTask {
        // An early end only shortens the time.
        try? await Task.sleep(until: deadline)
        return false
      }
      defer { group.cancelAll() }
      return await group.next() ?? false
    }
  }

  /// Forgets the sandbox, of which nothing runs any more then, and has the process end.
  func shutDown(_ id: String) async throws {
    let isThere = try table.withLock { table throws(RPCError) in
      if let sandbox = table.sandbox {
        guard sandbox.held.id == id else { throw Self.unknown(id) }
        return true
      }
      // A create that failed, or the answer to an earlier call was lost: the process has no use left.
      guard !table.isCreating else { throw Self.unknown(id) }
      return false
    }
    guard !table.withLock({ $0.hasContainers })() else {
      throw RPCError(
        code: .failedPrecondition,
        message: "sandbox \(id) has containers, which are to be deleted first: failed precondition")
    }
    if isThere {
      try await stop(id, seconds: 0)
      table.withLock { $0.sandbox = nil }
    }
    endProcess()
  }

  // MARK: Looking up

  static func unknown(_ id: String) -> RPCError {
    RPCError(code: .notFound, message: "sandbox \(id.prefix(100)): not found")
  }

  func changing<T>(
    _ id: String, _ change: (inout Sandbox) throws(RPCError) -> T
  ) throws(RPCError) -> T {
    try table.withLock { table throws(RPCError) in
      guard var sandbox = table.sandbox, sandbox.held.id == id else { throw Self.unknown(id) }
      defer { table.sandbox = sandbox }
      return try change(&sandbox)
    }
  }

  /// Blocks.
  private func journal(_ change: (inout JournalRecord) -> Void) throws(OCIShimError) {
    let changed = table.withLock { table -> (JournalRecord, String)? in
      guard var sandbox = table.sandbox else { return nil }
      change(&sandbox.journal)
      table.sandbox = sandbox
      return (sandbox.journal, sandbox.held.bundle)
    }
    guard let (record, bundle) = changed else { return }
    try Journal(bundle: bundle).write(record)
  }

  /// Runs what blocks, on a thread that is there for it alone: a sandbox has few such moments.
  private func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      do throws(SystemError) {
        try startThread("hawse-sandbox") { continuation.resume(with: Result { try body() }) }
      } catch {
        continuation.resume(
          throwing: OCIShimError(
            code: .system, message: "no thread can be started for the sandbox", cause: error))
      }
    }
  }
}

extension WallTime {
  /// By the wall clock.
  static var now: WallTime {
    let (seconds, attoseconds) = wallClockTime().components
    return WallTime(seconds: seconds, nanoseconds: Int32(attoseconds / 1_000_000_000))
  }
}
