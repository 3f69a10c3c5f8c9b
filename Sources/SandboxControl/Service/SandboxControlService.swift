internal import ContainerdClient
public import Logging
internal import SwiftProtobuf
internal import Synchronization

/// The sandbox controller: sandboxes by name, each with its driver, its record on the disk, and its
/// state. `containerd.services.sandbox.v1.Controller` is this over RPC.
///
/// What changes a sandbox is done one after the other, and to its end; different sandboxes are
/// independent of each other. What is acknowledged is on the disk.
public final class SandboxControlService: Sendable {
  struct Table {
    var sandboxes: [SandboxName: ControlledSandbox] = [:]
    var damaged: [SandboxName: RecordStore.Damaged] = [:]
    /// Calls that are under way, and those that still come by connections that are, are carried out.
    var isStopping = false
    var isClosed = false
  }

  let selection: DriverSelection
  let limits: ControlLimits
  let logger: Logger
  let store: RecordStore
  /// Where what happens to sandboxes is told.
  public let events: EventExchange
  let table = Mutex(Table())
  /// Ends when the controller begins to stop.
  let life = EndPromise()

  /// - Parameter state: the directory that the records are kept in, under `sandboxes/`. It must be
  ///   there, and this process's alone.
  public init(
    state: String, selection: DriverSelection, limits: ControlLimits = ControlLimits(),
    events: EventExchange = EventExchange(),
    logger: Logger = Logger(label: "hawsepipe.control")
  ) {
    self.selection = selection
    self.limits = limits
    self.events = events
    self.logger = logger
    store = RecordStore(state: state)
  }

  // MARK: Create

  /// Has a sandbox made.
  ///
  /// - Throws: `sandboxExists`, also for one that has ended and was not shut down. A request that
  ///   equals that of a sandbox which was found at the controller's start, and was never started, is
  ///   taken for the same call, whose answer was lost. When the calling task was cancelled meanwhile,
  ///   the sandbox is removed again: nobody would know of it.
  public func create(_ order: SandboxOrder) async throws(SandboxControlError) {
    while true {
      if let damaged = table.withLock({ $0.damaged[order.name] }) {
        throw Self.damaged(order.name, damaged)
      }
      let (sandbox, isNew) = try entry(for: order)
      let isDone = try await sandbox.gate.run { () throws(SandboxControlError) -> Bool in
        if isNew {
          try await self.make(sandbox)
          return true
        }
        return try Self.claim(sandbox, order)
      }
      // It was removed while this call waited for its turn.
      guard isDone else { continue }
      if isNew, Task.isCancelled {
        await abandon(order.name)
        throw SandboxControlError(
          code: .cancelled,
          message: "the call that created sandbox \(order.name) was cancelled meanwhile")
      }
      return
    }
  }

  /// Removes a sandbox that nobody knows of, in a task of its own: the caller's is cancelled.
  private func abandon(_ name: SandboxName) async {
    let work = Task.detached {
      do throws(SandboxControlError) {
        try await self.shutdown(name, force: true)
      } catch {
        self.logger.warning(
          "a sandbox whose creator has gone is left", metadata: Self.metadata(name, error))
      }
    }
    await work.value
  }

  private func entry(
    for order: SandboxOrder
  ) throws(SandboxControlError) -> (ControlledSandbox, isNew: Bool) {
    let driver = try selection.driver(forRuntime: order.runtime)
    return try table.withLock { table throws(SandboxControlError) in
      if table.isClosed { throw Self.stopping }
      if let sandbox = table.sandboxes[order.name] { return (sandbox, false) }
      let stored = StoredSandbox(
        order: order, driver: driver.name, machine: SandboxMachine(), createdAt: .now)
      let sandbox = ControlledSandbox(stored, driver: driver, store: store, isRestored: false)
      table.sandboxes[order.name] = sandbox
      return (sandbox, true)
    }
  }

  /// - Returns: false when there is nothing left of the sandbox.
  private static func claim(
    _ sandbox: ControlledSandbox, _ order: SandboxOrder
  ) throws(SandboxControlError) -> Bool {
    let (isRemoved, isClaimed) = sandbox.change { state in
      guard !state.isRemoved else { return (true, false) }
      guard state.isRestored, state.stored.machine.state == .created,
        state.stored.order == order
      else { return (false, false) }
      state.isRestored = false
      return (false, true)
    }
    if isRemoved { return false }
    guard isClaimed else {
      throw SandboxControlError(
        code: .sandboxExists, message: "there is a sandbox \(order.name) already",
        hint: "Shut it down first, or take another id.")
    }
    return true
  }

  private func make(_ sandbox: ControlledSandbox) async throws(SandboxControlError) {
    let order = sandbox.order
    do throws(SandboxControlError) {
      try await sandbox.save()
    } catch {
      forget(sandbox)
      throw error
    }
    do throws(SandboxControlError) {
      let driven = try await withLimit(limits.create, "creating sandbox \(order.name)") {
        () throws(SandboxControlError) in try await sandbox.driver.create(order)
      }
      sandbox.change {
        $0.driven = driven
        $0.stored.machine.created()
      }
      try await sandbox.save()
    } catch {
      await undo(sandbox)
      throw error
    }
    logger.info("created a sandbox", metadata: ["sandbox": "\(order.name)"])
    tellCreated(sandbox)
  }

  /// Removes what was made of a sandbox that did not come about. What cannot be removed stays on
  /// record as one that has ended, so that a shutdown can try again.
  func undo(_ sandbox: ControlledSandbox) async {
    do throws(SandboxControlError) {
      try await removeAll(sandbox, force: true)
    } catch {
      logger.error(
        "what is left of a sandbox that did not come about cannot be removed",
        metadata: Self.metadata(sandbox.name, error))
      sandbox.change { $0.stored.machine.ended(.unknown) }
      await settle(sandbox, .unknown)
    }
  }

  // MARK: Start

  /// Starts a sandbox that was created. One that runs is left to, and its instance returned.
  ///
  /// - Throws: what kept it from starting: nothing is left of it then, and its name is free.
  public func start(_ name: SandboxName) async throws(SandboxControlError) -> SandboxInstance {
    let sandbox = try find(name)
    return try await sandbox.gate.run { () throws(SandboxControlError) in
      guard !sandbox.snapshot.isRemoved else { throw Self.unknown(name) }
      let step = sandbox.change { state in
        state.isRestored = false
        return Result { () throws(SandboxMachine.Refusal) in
          try state.stored.machine.start()
        }
      }
      switch step {
      case .success(.isRunning(let instance)): return instance
      case .success(.start): return try await self.launch(sandbox)
      case .failure(let refusal):
        throw SandboxControlError(
          code: sandbox.machine.state == .unknown ? .unreachable : .wrongState,
          message: "sandbox \(name) cannot be started: \(refusal.reason)")
      }
    }
  }

  private func launch(
    _ sandbox: ControlledSandbox
  ) async throws(SandboxControlError) -> SandboxInstance {
    let name = sandbox.name
    do throws(SandboxControlError) {
      guard let driven = sandbox.driven else {
        throw SandboxControlError(
          code: .unreachable, message: "nothing is known of what was made for sandbox \(name)")
      }
      try await sandbox.save()
      let instance = try await withLimit(limits.start, "starting sandbox \(name)") {
        () throws(SandboxControlError) in try await driven.start()
      }
      try Self.check(instance, of: sandbox)
      sandbox.change { $0.stored.machine.started(instance) }
      try await sandbox.save()
      tellStarted(sandbox)
      watch(sandbox)
      logger.info(
        "started a sandbox",
        metadata: [
          "sandbox": "\(name)", "address": "\(instance.address)", "version": "\(instance.version)",
        ])
      return instance
    } catch {
      logger.warning("a sandbox did not start", metadata: Self.metadata(name, error))
      await undo(sandbox)
      throw error
    }
  }

  /// Without an address containerd starts a shim of its own, and with a version below 3 as well: both
  /// without a word.
  private static func check(
    _ instance: SandboxInstance, of sandbox: ControlledSandbox
  ) throws(SandboxControlError) {
    func bad(_ fault: String) -> SandboxControlError {
      SandboxControlError(
        code: .badEndpoint,
        message: "the driver \"\(sandbox.driver.name)\" started sandbox \(sandbox.name) and gave "
          + fault,
        hint: "Tasks cannot be attached to it; mend the driver's configuration or its peer.")
    }
    guard !instance.address.isEmpty else { throw bad("no address of its task API") }
    guard instance.address.utf8.contains(UInt8(ascii: "+")) else {
      throw bad("an address without a protocol: \"\(instance.address.prefix(200))\"")
    }
    guard instance.version > 0 else { throw bad("no version of its task API") }
  }

  // MARK: Looking up

  func find(_ name: SandboxName) throws(SandboxControlError) -> ControlledSandbox {
    try table.withLock { table throws(SandboxControlError) in
      if let sandbox = table.sandboxes[name] { return sandbox }
      if let damaged = table.damaged[name] { throw Self.damaged(name, damaged) }
      throw Self.unknown(name)
    }
  }

  func forget(_ sandbox: ControlledSandbox) {
    sandbox.change { $0.isRemoved = true }
    table.withLock { table in
      if table.sandboxes[sandbox.name] === sandbox { table.sandboxes[sandbox.name] = nil }
    }
  }

  static func unknown(_ name: SandboxName) -> SandboxControlError {
    SandboxControlError(code: .sandboxNotFound, message: "there is no sandbox \(name)")
  }

  static var stopping: SandboxControlError {
    SandboxControlError(
      code: .stopping, message: "the controller stops",
      hint: "Sandboxes go on; try again when it is back.")
  }

  static func damaged(
    _ name: SandboxName, _ damaged: RecordStore.Damaged
  ) -> SandboxControlError {
    SandboxControlError(
      code: .damagedRecord,
      message: "the record of sandbox \(name) is damaged: \(damaged.fault)",
      hint: "Look at \(damaged.path); remove it when nothing of the sandbox is left, and restart "
        + "the controller.")
  }

  static func metadata(_ name: SandboxName, _ error: any Error) -> Logger.Metadata {
    ["sandbox": "\(name)", "error": "\(error)"]
  }
}
