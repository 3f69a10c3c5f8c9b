internal import ContainerdClient
internal import Logging
internal import Synchronization

extension SandboxControlService {
  /// Waits for a sandbox's end for as long as it takes, over any number of connections.
  func watch(_ sandbox: ControlledSandbox) {
    let task = Task.detached { [weak self] in
      while !Task.isCancelled {
        guard let driven = sandbox.driven else { return }
        do throws(SandboxControlError) {
          let exit = try await driven.wait()
          await self?.settle(sandbox, exit)
          return
        } catch {
          guard !Task.isCancelled, let self else { return }
          self.logger.info(
            "a sandbox is out of sight", metadata: Self.metadata(sandbox.name, error))
          await driven.release()
          guard await self.recover(sandbox) else { return }
        }
      }
    }
    sandbox.change { $0.watcher = task }
  }

  /// Finds a sandbox again, or that it has ended. Between two tries there is more and more time.
  ///
  /// - Returns: whether it is there.
  func recover(_ sandbox: ControlledSandbox, first: Duration = .milliseconds(100)) async -> Bool {
    var pause = first
    while !Task.isCancelled {
      do throws(SandboxControlError) {
        return try await reach(sandbox)
      } catch {
        let state = sandbox.change { state in
          state.driven = nil
          let before = state.stored.machine.state
          state.stored.machine.lost()
          return (before, state.stored.machine.state)
        }
        if state.0 != state.1 {
          logger.warning(
            "a sandbox cannot be reached; it is tried again",
            metadata: Self.metadata(sandbox.name, error))
        }
        guard state.1 != .stopped else { return false }
      }
      // Cancelled: the loop ends by itself.
      try? await Task.sleep(for: pause)
      pause = min(pause * 2, .seconds(15))
    }
    return false
  }

  /// One try. - Returns: false when it has ended, which is on record then.
  func reach(_ sandbox: ControlledSandbox) async throws(SandboxControlError) -> Bool {
    let (order, instance) = (sandbox.order, sandbox.machine.instance)
    let driven = try await withLimit(limits.load, "finding sandbox \(sandbox.name)") {
      () throws(SandboxControlError) in
      try await sandbox.driver.restore(order, instance: instance)
    }
    guard let driven else {
      sandbox.change { $0.driven = nil }
      await settle(sandbox, .unknown)
      return false
    }
    let isWanted = sandbox.change { state in
      guard !state.isRemoved, state.stored.machine.state != .stopped else { return false }
      state.driven = driven
      state.stored.machine.found()
      return true
    }
    if !isWanted { await driven.release() }
    return isWanted
  }

  // MARK: Restoring

  /// What the controller found at its start.
  public struct Restoration: Hashable, Sendable {
    /// Sandboxes that are there.
    public var found = 0
    /// Those that ended while nobody looked, or had before.
    public var ended = 0
    /// Those whose making was not finished: what there was of them was removed.
    public var unfinished = 0
    /// Those that cannot be reached now. They are tried again.
    public var unreachable = 0
    /// Files that are no records: paths, and what is wrong with each. They are left as they are.
    public var damaged: [String: String] = [:]

    public init() {}
  }

  /// Takes up the sandboxes that are on record: all at once, each within ``ControlLimits/load``.
  ///
  /// To be called once, before the first call is served.
  public func restore() async throws(SandboxControlError) -> Restoration {
    let store = store
    let (records, damaged) = try await offload { () throws(SandboxControlError) in
      try store.load()
    }
    var restoration = Restoration()
    for file in damaged {
      restoration.damaged[file.path] = file.fault
      logger.error("not a record", metadata: ["path": "\(file.path)", "error": "\(file.fault)"])
    }
    let sandboxes = records.map { record in
      ControlledSandbox(
        record, driver: selection.driver(named: record.driver), store: store, isRestored: true)
    }
    table.withLock { table in
      for sandbox in sandboxes { table.sandboxes[sandbox.name] = sandbox }
      for file in damaged { if let name = file.name { table.damaged[name] = file } }
    }
    return await withTaskGroup(of: Outcome.self) { group in
      for sandbox in sandboxes { group.addTask { await self.restore(sandbox) } }
      for await outcome in group {
        switch outcome {
        case .found: restoration.found += 1
        case .ended: restoration.ended += 1
        case .unfinished: restoration.unfinished += 1
        case .unreachable: restoration.unreachable += 1
        }
      }
      return restoration
    }
  }

  private enum Outcome: Sendable {
    case found, ended, unfinished, unreachable
  }

  private func restore(_ sandbox: ControlledSandbox) async -> Outcome {
    switch sandbox.machine.state {
    case .stopped:
      if let exit = sandbox.machine.exit { sandbox.end.resolve(.success(exit)) }
      return .ended
    case .creating, .starting:
      // Its caller got an error, and takes it for one that does not exist.
      await undo(sandbox)
      return .unfinished
    case .created, .running, .stopping, .unknown: break
    }
    let isRunning = sandbox.machine.state != .created
    do throws(SandboxControlError) {
      guard try await reach(sandbox) else { return .ended }
      if isRunning { watch(sandbox) }
      return .found
    } catch {
      logger.warning(
        "a sandbox cannot be reached; it is tried again",
        metadata: Self.metadata(sandbox.name, error))
      sandbox.change { $0.stored.machine.lost() }
      let task = Task.detached { [weak self] in
        guard let self, await self.recover(sandbox, first: .seconds(1)) else { return }
        if isRunning { self.watch(sandbox) }
      }
      sandbox.change { $0.watcher = task }
      return .unreachable
    }
  }

  // MARK: Stopping the controller

  /// Ends the waits that are under way, with `stopping`: they would keep the controller from it.
  public func beginStopping() {
    let sandboxes = table.withLock { table in
      table.isStopping = true
      return Array(table.sandboxes.values)
    }
    for sandbox in sandboxes { sandbox.end.resolve(.failure(Self.stopping)) }
    life.resolve(.failure(Self.stopping))
    events.close()
  }

  var isStopping: Bool { table.withLock { $0.isStopping } }

  /// Returns when the controller begins to stop.
  ///
  /// - Throws: `cancelled`.
  func untilStopping() async throws(SandboxControlError) {
    do throws(SandboxControlError) { _ = try await life.wait() } catch {
      guard error.code == .stopping else { throw error }
    }
  }

  /// Lets go of all sandboxes, and leaves them as they are. None can be created any more.
  public func close() async {
    beginStopping()
    let sandboxes = table.withLock { table in
      table.isClosed = true
      return Array(table.sandboxes.values)
    }
    await withTaskGroup { group in
      for sandbox in sandboxes {
        let (watcher, driven) = sandbox.change { ($0.watcher, $0.driven) }
        watcher?.cancel()
        group.addTask { await driven?.release() }
      }
    }
  }
}
