internal import ContainerdClient
internal import Glibc
internal import Logging
internal import ProcessSupervision
internal import RPCCore
internal import ShimProtocol
internal import TransportCore

/// One bundle of those that a start finds.
extension ShimManager {
  /// Sees who serves a bundle, within ``Limits/load``.
  func examine(_ bundle: Bundle) async -> RestoredBundle {
    let deadline = ContinuousClock.now + configuration.limits.load
    let examination = await offload { BundleExamination(of: bundle) }
    switch examination.content {
    case .incomplete: return RestoredBundle(examination, .incomplete, isGone: true)
    case .damaged(let text): return RestoredBundle(examination, .damaged(text))
    case .shim(let params, let address):
      do throws(ShimManagementError) {
        let lease = try await lease(
          address, for: bundle.id, within: configuration.limits.load)
        return await take(
          examination, params: params, address: address, lease: lease, until: deadline)
      } catch {
        return RestoredBundle(examination, unreachable: error, at: address)
      }
    }
  }

  private func take(
    _ examination: BundleExamination, params: BootstrapParams, address: TransportAddress,
    lease: ShimConnections.Lease, until deadline: ContinuousClock.Instant
  ) async -> RestoredBundle {
    if examination.hasSandboxAPI {
      let sandbox = self.sandbox(
        bundle: examination.bundle, address: address, version: params.version, lease: lease,
        log: nil)
      return await take(sandbox, examination, until: deadline)
    }
    let task: ShimTask
    do {
      task = try ShimTask(
        bundle: examination.bundle, sandboxID: examination.sandboxID, joined: .loaded,
        params: params, address: address, joinDuration: .zero, lease: lease, log: nil,
        manager: configuration)
    } catch {
      await connections.release(lease)
      return RestoredBundle(examination, .damaged("\(error)"))
    }
    return await take(task, examination, until: deadline)
  }

  private func take(
    _ sandbox: ShimSandbox, _ examination: BundleExamination,
    until deadline: ContinuousClock.Instant
  ) async -> RestoredBundle {
    var known = true
    do {
      _ = try await sandbox.client.status(sandbox.id, timeout: .until(deadline))
    } catch {
      guard error.reason == .status else {
        return await leave(sandbox, examination, error)
      }
      known = !error.isNotFound
    }
    adopt(sandbox)
    var restored = RestoredBundle(examination, .restored)
    // Between a shim's start and its CreateSandbox, whoever made it was interrupted.
    if !known, !isBeingMade(examination), await members(of: examination).isEmpty {
      do {
        try await shutDown(sandbox)
        restored.outcome = .reaped
        return restored
      } catch {
        restored.outcome = .notRemoved("\(error)")
        await release(sandbox)
        return restored
      }
    }
    restored.sandbox = sandbox
    watch(sandbox)
    return restored
  }

  private func take(
    _ task: ShimTask, _ examination: BundleExamination, until deadline: ContinuousClock.Instant
  ) async -> RestoredBundle {
    do {
      _ = try await task.connect(within: .until(deadline))
    } catch {
      // An error that the shim answers with is an answer.
      if error.code != .callFailed {
        return await leave(task, examination, error.cause as? RPCError)
      }
    }
    adopt(task)
    var restored = RestoredBundle(examination, .restored)
    if await hasNoProcess(task, examination, until: deadline) {
      do {
        restored.exit = try await delete(task)
        restored.outcome = .reaped
        return restored
      } catch {
        configuration.logger.warning(
          "a task without a process could not be deleted",
          metadata: ["id": "\(task.id)", "error": "\(error)"])
      }
    }
    restored.task = task
    return restored
  }

  /// Whether a shim says for certain that it has no process of a task, which nobody is just about to
  /// create. A sandbox need not have one.
  private func hasNoProcess(
    _ task: ShimTask, _ examination: BundleExamination, until deadline: ContinuousClock.Instant
  ) async -> Bool {
    guard !examination.isSandbox, !isBeingMade(examination) else { return false }
    do {
      let processes = try await task.client.pids(task.id, timeout: .until(deadline))
      guard processes.isEmpty else { return false }
    } catch {
      // No other error says so, no answer in time least of all.
      guard error.isNotFound else { return false }
    }
    return await members(of: examination).isEmpty
  }

  private func members(of examination: BundleExamination) async -> [String] {
    await offload { [self] in
      // What cannot be listed may have members.
      (try? members(ofSandbox: examination.bundle.id, namespace: examination.bundle.namespace))
        ?? [examination.bundle.id]
    }
  }

  /// Whether the process that made the bundle is another one that still runs.
  private func isBeingMade(_ examination: BundleExamination) -> Bool {
    guard let maker = JoinRecord.read(from: examination.bundle.files)?.maker else { return false }
    return maker.pid != getpid() && maker.isAlive
  }

  /// Gives the connection back of a shim that did not answer, and says what is to be thought of it.
  private func leave(
    _ holder: some LineHolder, _ examination: BundleExamination, _ error: RPCError?
  ) async -> RestoredBundle {
    let address = holder.lease.address
    await connections.release(holder.lease)
    guard error?.reason == .connectionClosed, Self.isLocal(address), await isDeadSoon(address)
    else { return RestoredBundle(examination, .mute) }
    return RestoredBundle(examination, .cleanedUp, isGone: true)
  }

  /// Removes what is left of a bundle without a shim.
  func end(_ gone: RestoredBundle) async -> RestoredBundle {
    var ended = gone
    let bundle = gone.examination.bundle
    do throws(ShimManagementError) {
      if gone.outcome == .incomplete {
        guard try await removeIncomplete(bundle) else {
          ended.outcome = .busy
          return ended
        }
      } else {
        let fallback = gone.examination.sandboxID.flatMap { id in
          // Without its sandbox's bundle a task is cleaned up after as well as can be.
          (try? find(namespace: bundle.namespace, id: id)).flatMap(shimBinary)
        }
        ended.exit = try await cleanUpDead(
          bundle, fallback: fallback, lock: configuration.limits.load)
      }
    } catch {
      ended.outcome = error.code == .busy ? .busy : .notRemoved("\(error)")
    }
    return ended
  }

  /// - Returns: `false` if somebody is at it.
  private func removeIncomplete(_ bundle: Bundle) async throws(ShimManagementError) -> Bool {
    do throws(ShimManagementError) {
      try await configuration.directory.withLock(
        namespace: bundle.namespace, id: bundle.id, timeout: .zero
      ) { () throws(ShimManagementError) in
        // Looked at again: whoever was making it may have finished since.
        guard await offload({ BundleExamination(of: bundle).isIncomplete }) else {
          throw ShimManagementError(code: .busy, message: "\(bundle.id) was just made")
        }
        guard try self.find(namespace: bundle.namespace, id: bundle.id) != nil else { return }
        await self.endStrays(in: bundle)
        await self.cleanUpWithBinary(bundle)
        try await bundle.delete()
      }
      return true
    } catch  where error.code == .busy {
      return false
    }
  }

  private func cleanUpWithBinary(_ bundle: Bundle) async {
    guard let binary = shimBinary(of: bundle) else { return }
    do {
      _ = try await launcher.delete(binary: locate(binary), bundle: bundle)
    } catch {
      configuration.logger.debug(
        "shim's delete failed for a bundle that was never finished",
        metadata: ["id": "\(bundle.id)", "error": "\(error)"])
    }
  }

  /// Whether a refused connection proves that the other side has ended. Of another machine, or a guest,
  /// it says only that nobody listens now.
  static func isLocal(_ address: TransportAddress) -> Bool {
    switch address.place {
    case .unix, .hybridVsock: true
    default: false
    }
  }
}

extension BundleExamination {
  fileprivate var isIncomplete: Bool {
    if case .incomplete = content { return true }
    return false
  }
}

extension RestoredBundle {
  fileprivate init(
    _ examination: BundleExamination, unreachable error: ShimManagementError,
    at address: TransportAddress
  ) {
    if error.code == .shimDied, ShimManager.isLocal(address) {
      self.init(examination, .cleanedUp, isGone: true)
    } else if (error.cause as? TransportError)?.code == .timedOut {
      self.init(examination, .mute)
    } else {
      self.init(examination, .unreachable("\(error)"))
    }
  }
}

extension Duration {
  /// What is left until then; a little, when nothing is: an answer that is there already counts.
  fileprivate static func until(_ deadline: ContinuousClock.Instant) -> Duration {
    max(deadline - ContinuousClock.now, .milliseconds(1))
  }
}
