internal import ContainerdAPI
internal import JSON
public import Logging
internal import NIOPosix
internal import ProcessSupervision
public import RPCCore
internal import ShimProtocol
internal import SwiftProtobuf
internal import Synchronization

/// The task service over an OCI runtime: containers of one namespace, each with its execs.
///
/// Runtime commands of one container run one behind the other and hold up nobody else's; State,
/// Wait, Kill, Pids and Connect wait for none of them. What a caller has begun is carried through
/// when the caller goes away.
public final class OCITaskService: Sendable {
  public struct Configuration: Sendable {
    /// containerd's namespace of all containers.
    public var namespace: String
    /// Used for containers whose request has no options.
    public var defaults = RuntimeOptions()
    public var logger: Logger
    /// How long a runtime's `start` may go on once the container's init has ended.
    public var startGrace: Duration = .seconds(1)
    /// How long Delete waits for the end of an init that it killed. A delete of the runtime returns
    /// behind it, so that only what this process does with it takes time.
    public var endLimit: Duration = .seconds(10)

    /// Where containers are noted that are attached to this process's sandbox; nil: nowhere.
    var attached: AttachedContainers?

    /// Has containers that are attached to a sandbox noted in its bundle, where
    /// `delete` looks for them.
    ///
    /// - Parameter bundle: the sandbox's.
    public mutating func noteAttached(in bundle: String) {
      attached = AttachedContainers(bundle: bundle)
    }

    public init(namespace: String, logger: Logger) {
      self.namespace = namespace
      self.logger = logger
    }
  }

  struct Table {
    var containers: [String: TaskContainer] = [:]
    /// Ids whose container is being made.
    var reserved: Set<String> = []
    /// What deletes of containers answered, for those who ask again; the newest last.
    var deleted: [(id: String, response: Containerd_Task_V3_DeleteResponse)] = []
  }

  let configuration: Configuration
  let events: any EventSink
  let metrics: (any ContainerMetrics)?
  let memory: (any MemoryWatching)?
  let mounts: (any RootfsMounts)?
  let shutDown: @Sendable () -> Void
  let table = Mutex(Table())
  let ledger = Mutex(ExitLedger())
  /// One thread for what writes journals and tells ends: it keeps both in order.
  let journalThread = NIOThreadPool(numberOfThreads: 1)

  var logger: Logger { configuration.logger }

  /// - Parameters:
  ///   - exits: subscribed to at once; it must be there before the first runtime command.
  ///   - metrics: nil: Stats answers NotFound.
  ///   - memory: nil: no `/tasks/oom` is published.
  ///   - mounts: nil: a request with mounts is refused.
  ///   - shutDown: called when `Shutdown` is asked for and no container is left.
  public init(
    _ configuration: Configuration, events: any EventSink, exits: any ExitSource,
    metrics: (any ContainerMetrics)? = nil, memory: (any MemoryWatching)? = nil,
    mounts: (any RootfsMounts)? = nil,
    shutDown: @escaping @Sendable () -> Void
  ) {
    self.configuration = configuration
    self.events = events
    self.metrics = metrics
    self.memory = memory
    self.mounts = mounts
    self.shutDown = shutDown
    journalThread.start()
    exits.subscribe { [weak self] in self?.reaped($0) }
  }

  /// Ends the service's own thread, behind the work that it was given.
  public func close() async {
    do { try await journalThread.shutdownGracefully() } catch {
      logger.warning("the journal's thread does not end", metadata: ["error": "\(error)"])
    }
  }

  /// Serves the Task service in both versions.
  public func register(on registrar: inout some RPCRegistrar) {
    let service: some Containerd_Task_V3_TaskService = self
    service.register(on: &registrar, execution: .pool)
    // The messages are the same, and so are their bytes: only the service's name differs.
    var renamed = RenamingRegistrar(
      registrar, service: Containerd_Task_V2_TaskMethods.serviceName)
    service.register(on: &renamed, execution: .pool)
    registrar = renamed.base
  }

  // MARK: Looking up

  /// Whether there is any container, or one is being made.
  var hasContainers: Bool {
    table.withLock { !$0.containers.isEmpty || !$0.reserved.isEmpty }
  }

  func container(_ id: String) throws(RPCError) -> TaskContainer {
    guard let container = table.withLock({ $0.containers[id] }) else {
      throw RPCError(code: .notFound, message: "container not created: not found")
    }
    return container
  }

  // MARK: Ends

  private func reaped(_ child: ReapedChild) {
    let exit = ExitLedger.Exit(
      pid: child.pid, startTime: child.startTime,
      exit: ProcessEnd(status: child.status, time: child.time))
    follow { $0.exited(exit) }
  }

  /// Takes a step of the ledger, and has its effects carried out behind those of earlier steps.
  func follow(_ step: (inout ExitLedger) -> [ExitLedger.Effect]) {
    // Queued under the lock, which is what keeps the order. Queueing does not wait.
    ledger.withLock { ledger in
      for effect in step(&ledger) { journalThread.submit { _ in self.carryOut(effect) } }
    }
  }

  private func carryOut(_ effect: ExitLedger.Effect) {
    switch effect {
    case .initEnded(let id):
      guard let container = table.withLock({ $0.containers[id] }) else { return }
      container.initEnded.resolve(nil)
      if !container.configuration.hasOwnPIDNamespace { Task { await self.killAll(container) } }
    case .tell(let key, let pid, let end):
      guard let container = table.withLock({ $0.containers[key.container] }) else { return }
      let isPaused = container.state.withLock { $0.machine.state == .paused }
      if key.isInit, isPaused {
        // A container that is frozen cannot be deleted. Its execs have ended: nothing overtakes.
        Task {
          await self.thaw(container)
          self.journalThread.submit { _ in self.tell(container, key, pid, end) }
        }
      } else {
        tell(container, key, pid, end)
      }
    }
  }

  /// On the journal's thread.
  private func tell(_ container: TaskContainer, _ key: ProcessKey, _ pid: Int32, _ end: ProcessEnd)
  {
    journalNow(container) { record in
      if let exec = key.exec { record.execs[exec]?.exit = end } else { record.exit = end }
    }
    var event = Containerd_Events_TaskExit()
    event.containerID = container.id
    event.id = key.exec ?? container.id
    event.pid = UInt32(pid)
    event.exitStatus = end.status
    event.exitedAt = end.time.timestamp
    let memory = container.state.withLock { state in
      defer { if key.isInit { state.memory = nil } }
      return state.memory
    }
    let (io, promise) = container.state.withLock {
      state -> ((any ProcessStreams)?, ExitPromise?) in
      if let exec = key.exec {
        state.execs[exec]?.machine.exited()
        state.execs[exec]?.end = end
        return (state.execs[exec]?.io, state.execs[exec]?.promise)
      }
      state.machine.exited()
      state.end = end
      return (state.io, container.promise)
    }
    io?.ended()
    // What killed it is told before its end.
    if key.isInit { memory?.stop() } else { memory?.look() }
    events.publish(event, topic: EventTopic.taskExit)
    promise?.resolve(end)
  }

  /// Has kills for want of memory published from now on. Called once the container's own event is
  /// out, and before its end can be told.
  func watchMemory(_ container: TaskContainer, _ process: JournalRecord.Process) async {
    guard let memory else { return }
    let events = events
    let id = container.id
    do {
      try await journalThread.runIfActive {
        let watch = try memory.watch(process) {
          var event = Containerd_Events_TaskOOM()
          event.containerID = id
          events.publish(event, topic: EventTopic.taskOOM)
        }
        container.state.withLock { $0.memory = watch }
      }
    } catch {
      // It runs all the same, and only the reason of its end may be missed.
      logger.warning(
        "it is not told when a container's memory runs out",
        metadata: ["container": "\(container.id)", "error": "\(error)"])
    }
  }

  private func killAll(_ container: TaskContainer) async {
    do throws(OCIShimError) {
      try await container.runtime.run(.kill(id: container.id, signal: 9, all: true))
    } catch {
      if error.code == .processGone { return }
      logger.warning(
        "what is left of a container cannot be killed",
        metadata: ["container": "\(container.id)", "error": "\(error)"])
    }
  }

  private func thaw(_ container: TaskContainer) async {
    do throws(OCIShimError) {
      try await container.runtime.run(.resume(id: container.id))
    } catch {
      logger.warning(
        "a container that ended while it was paused cannot be resumed",
        metadata: ["container": "\(container.id)", "error": "\(error)"])
    }
  }

  // MARK: The journal

  /// Changes the journal and has it written before it returns.
  func journal(
    _ container: TaskContainer, _ change: @escaping @Sendable (inout JournalRecord) -> Void
  ) async throws {
    try await journalThread.runIfActive { try self.writeJournal(container, change) }
  }

  /// The same, on the journal's thread.
  func writeJournal(
    _ container: TaskContainer, _ change: (inout JournalRecord) -> Void
  ) throws(OCIShimError) {
    let record = container.state.withLock { state in
      change(&state.journal)
      return state.journal
    }
    try Journal(bundle: container.bundle).write(record)
  }

  /// The same, on the journal's thread. An end is told also when it cannot be written down.
  private func journalNow(
    _ container: TaskContainer, _ change: (inout JournalRecord) -> Void
  ) {
    do throws(OCIShimError) {
      try writeJournal(container, change)
    } catch {
      logger.error(
        "an end is not in the journal",
        metadata: ["container": "\(container.id)", "error": "\(error)"])
    }
  }

  /// Carries on when the caller is cancelled: a half of a create helps nobody.
  func uncancelled<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T
  {
    try await Task { try await body() }.value
  }
}

extension ExitPromise {
  /// Whether it was resolved before the calling task was cancelled.
  func isResolvedBeforeCancellation() async -> Bool {
    do {
      _ = try await wait()
      return true
    } catch {
      return false
    }
  }
}
