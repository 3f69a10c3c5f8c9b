public import ContainerdClient
internal import Logging

extension SandboxControlService {
  // MARK: Stop

  /// Ends what runs in a sandbox. One that is not there, or has ended, is fine.
  ///
  /// - Parameter limit: how long that may take before it is forced; nil, and what is longer than
  ///   ``ControlLimits/stop``: that.
  public func stop(
    _ name: SandboxName, within limit: Duration? = nil
  ) async throws(SandboxControlError) {
    let sandbox: ControlledSandbox
    do throws(SandboxControlError) { sandbox = try find(name) } catch {
      if error.code == .sandboxNotFound { return }
      throw error
    }
    let limit = min(limit ?? limits.stop, limits.stop)
    try await sandbox.gate.run { () throws(SandboxControlError) in
      guard !sandbox.snapshot.isRemoved else { return }
      let step = sandbox.change { state in
        Result { () throws(SandboxMachine.Refusal) in try state.stored.machine.stop() }
      }
      switch step {
      case .success(.isStopped): return
      case .success(.stop): break
      case .failure(let refusal):
        throw SandboxControlError(
          code: .wrongState, message: "sandbox \(name) cannot be stopped: \(refusal.reason)")
      }
      do throws(SandboxControlError) {
        try await self.end(sandbox, within: limit)
      } catch {
        sandbox.change { $0.stored.machine.stopFailed() }
        throw error
      }
    }
  }

  private func end(
    _ sandbox: ControlledSandbox, within limit: Duration
  ) async throws(SandboxControlError) {
    let name = sandbox.name
    var driven = sandbox.driven
    if driven == nil {
      let (order, instance) = (sandbox.order, sandbox.machine.instance)
      driven = try await withLimit(limits.load, "finding sandbox \(name)") {
        () throws(SandboxControlError) in
        try await sandbox.driver.restore(order, instance: instance)
      }
    }
    guard let driven else {
      await settle(sandbox, .unknown)
      return
    }
    do throws(SandboxControlError) {
      // What is forced at the limit takes its time, too.
      try await withLimit(limit + limits.cleanup, "stopping sandbox \(name)") {
        () throws(SandboxControlError) in try await driven.stop(within: limit)
      }
    } catch {
      guard error.meansGone else { throw error }
    }
    // Its own word is better than ours.
    let told: SandboxExit? =
      sandbox.snapshot.watcher == nil
      ? nil
      : try? await withLimit(limits.cleanup, "the end of sandbox \(name)") {
        () throws(SandboxControlError) in try await sandbox.end.wait()
      }
    if told == nil {
      let ran = sandbox.machine.instance != nil
      await settle(sandbox, ran ? .unknown : SandboxExit(status: 0, exitedAt: .now))
    }
  }

  /// Has a sandbox's end recorded, and then told to those who wait for it. Only the first end counts.
  func settle(_ sandbox: ControlledSandbox, _ exit: SandboxExit) async {
    let exit = sandbox.change { state in
      state.stored.machine.ended(exit)
      return state.stored.machine.exit ?? exit
    }
    do {
      try await sandbox.save()
    } catch {
      // It is told all the same: it did end. After a restart it is found to have ended again.
      logger.error(
        "a sandbox's end is not on record", metadata: Self.metadata(sandbox.name, error))
    }
    logger.info(
      "a sandbox has ended",
      metadata: ["sandbox": "\(sandbox.name)", "status": "\(exit.status)"])
    tellEnded(sandbox, exit)
    sandbox.end.resolve(.success(exit))
  }

  // MARK: Wait

  /// Returns when the sandbox has ended: at once, when it has before.
  ///
  /// - Throws: `sandboxNotFound`; `stopping` when the controller stops, to be asked again; `cancelled`.
  public func wait(_ name: SandboxName) async throws(SandboxControlError) -> SandboxExit {
    let sandbox = try find(name)
    if let exit = sandbox.machine.exit { return exit }
    return try await sandbox.end.wait()
  }

  // MARK: Shutdown

  /// Ends a sandbox and removes everything of it.
  ///
  /// - Throws: `sandboxNotFound`; what its peer has against it. It is still there then.
  public func shutdown(_ name: SandboxName) async throws(SandboxControlError) {
    try await shutdown(name, force: false)
  }

  func shutdown(_ name: SandboxName, force: Bool) async throws(SandboxControlError) {
    let sandbox = try find(name)
    try await sandbox.gate.run { () throws(SandboxControlError) in
      guard !sandbox.snapshot.isRemoved else { throw Self.unknown(name) }
      try await self.removeAll(sandbox, force: force)
    }
  }

  /// - Parameter force: also against its peer's will.
  func removeAll(
    _ sandbox: ControlledSandbox, force: Bool
  ) async throws(SandboxControlError) {
    let (name, order) = (sandbox.name, sandbox.order)
    let driven = sandbox.driven
    var isDone = false
    if let driven {
      do throws(SandboxControlError) {
        try await withLimit(limits.shutdown + limits.cleanup, "shutting down sandbox \(name)") {
          () throws(SandboxControlError) in try await driven.shutDown()
        }
        isDone = true
      } catch {
        let mayGoOn = force || error.meansGone || error.code == .timedOut
        guard mayGoOn else { throw error }
        logger.notice(
          "a sandbox is removed without its peer", metadata: Self.metadata(name, error))
      }
    }
    if !isDone {
      try await withLimit(limits.shutdown + limits.cleanup, "removing sandbox \(name)") {
        () throws(SandboxControlError) in try await sandbox.driver.remove(order)
      }
    }
    try await sandbox.removeRecord()
    let (watcher, exit) = sandbox.change { state in
      state.stored.machine.ended(.unknown)
      state.driven = nil
      defer { state.watcher = nil }
      return (state.watcher, state.stored.machine.exit ?? .unknown)
    }
    watcher?.cancel()
    tellEnded(sandbox, exit)
    sandbox.end.resolve(.success(exit))
    await driven?.release()
    forget(sandbox)
    logger.info("removed a sandbox", metadata: ["sandbox": "\(name)"])
  }
}
