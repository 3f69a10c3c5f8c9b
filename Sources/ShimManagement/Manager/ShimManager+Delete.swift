internal import ContainerdAPI
public import ContainerdClient
internal import Glibc
internal import Logging
internal import ProcessSupervision
internal import RPCCore
internal import TransportCore

extension ShimManager {
  /// Deletes a task that has ended: in the shim, then its line, then its bundle.
  ///
  /// The shim is told to shut down afterwards, which it does not do while it has tasks or a sandbox
  /// (``Configuration/asksSandboxesToShutDown`` leaves that out for the shims of sandboxes).
  ///
  /// - Returns: the task's end; `nil` if the shim did not know the task (it was never created).
  /// - Throws: what the shim said; nothing is removed then, and deleting can be tried again.
  @discardableResult
  public func delete(_ task: ShimTask) async throws(ShimManagementError) -> TaskExit? {
    if SandboxFile.isThere(in: task.bundle) {
      try await deleteSandbox(task)
      return nil
    }
    return try await locked(task.namespace, task.id) { () throws(ShimManagementError) in
      try self.requireNoTasks(inSandbox: task.id, of: task.namespace)
      let exit = try await self.deleteInShim(task)
      self.configuration.onStep(.taskDeleted)
      // Before the connection goes: its end is no loss any more.
      self.forget(task)
      if task.sandboxID == nil || task.version < 3 || self.configuration.asksSandboxesToShutDown {
        await self.shutDown(task)
      }
      await self.letGo(of: task)
      try await task.bundle.delete()
      self.configuration.onStep(.bundleDeleted)
      return exit
    }
  }

  /// What was taken up as a task is a sandbox of the sandbox API: its shim knows no task of that name.
  private func deleteSandbox(_ task: ShimTask) async throws(ShimManagementError) {
    try requireNoTasks(inSandbox: task.id, of: task.namespace)
    let sandbox = try await loadSandbox(namespace: task.namespace, id: task.id)
    await release(task)
    try await shutDown(sandbox)
  }

  /// A sandbox is not deleted under its tasks. Attaching holds the sandbox's lock, so none can join
  /// between this look and the end.
  private func requireNoTasks(
    inSandbox id: String, of namespace: String
  ) throws(ShimManagementError) {
    let members = try members(ofSandbox: id, namespace: namespace)
    guard members.isEmpty else {
      throw ShimManagementError(
        code: .busy,
        message: "cannot remove sandbox \(id): \(members.joined(separator: ", ")) "
          + "\(members.count == 1 ? "is" : "are") attached to it",
        hint: "Remove the tasks first, or use hawse sandbox rm --force.")
    }
  }

  private func deleteInShim(_ task: ShimTask) async throws(ShimManagementError) -> TaskExit? {
    let limit = configuration.limits.change
    let answer: Result<TaskExit, RPCError>
    do {
      answer = .success(try await task.client.delete(task.id, timeout: limit))
    } catch {
      answer = .failure(error)
    }
    switch answer {
    case .success(let exit): return exit
    case .failure(let error) where error.code == .notFound && error.reason == .status: return nil
    case .failure(let error):
      return try await task.call("delete") { _ throws(RPCError) in throw error }
    }
  }

  private func shutDown(_ task: ShimTask) async {
    // A shim that serves this task alone ends now; who comes next must not find it half gone.
    let process = task.sandboxID == nil ? await shimProcess(of: task) : nil
    do {
      try await task.client.shutdown(task.id, timeout: configuration.limits.shutdown)
    } catch {
      // A shim that ends as it is told may close the connection before its answer is out.
      if error.reason != .connectionClosed {
        configuration.logger.warning(
          "shim did not take Shutdown", metadata: ["id": "\(task.id)", "error": "\(error)"])
      }
    }
    guard let process else { return }
    if await !process.waitForEnd(within: configuration.limits.shutdown) {
      configuration.logger.warning(
        "shim was told to shut down and still runs; it may serve tasks of somebody else",
        metadata: ["id": "\(task.id)", "pid": "\(process.pid)"])
    }
  }

  /// The shim's process, as far as it is one of this host.
  private func shimProcess(of task: ShimTask) async -> ProcessIdentity? {
    guard case .unix = task.address.place else { return nil }
    do {
      let pid = try await task.client.connect(task.id, timeout: configuration.limits.query).shimPID
      return ProcessIdentity(pid: Int32(clamping: pid))
    } catch {
      // Then its end is not waited for, which is all that the pid is for.
      return nil
    }
  }
}

extension ShimManager {
  /// Gives up a task whose creation or start failed: ends what the shim may have of it, shuts a shim
  /// down that was started for it alone, and removes the bundle.
  ///
  /// It runs to its end, bounded, though the caller be cancelled, and reports nothing to it: what
  /// failed first is what the caller must hear of.
  public func abandon(_ task: ShimTask) async {
    await inBackground { [self] in
      let isGone = await endInShim(task)
      // Its shim died under it. Then its bundle is still needed: by it the binary cleans up.
      let isLost = !task.connection.isConnected
      if isLost { connectionLost(task.lease.id) }
      guard forget(task) else { return }
      guard isGone, !isLost else {
        // Its bundle is what the next `rm` finds it by.
        await letGo(of: task)
        return
      }
      if task.sandboxID == nil { await shutDown(task) }
      await letGo(of: task)
      await removeBundle(task.bundle, after: "a failed create")
    }.value
  }

  /// Kills and deletes what the shim has of a task. The call that failed may have had its effect
  /// though its caller was gone before the answer: a task that nobody asked to live may be running.
  ///
  /// - Returns: `false` if the shim still has the task.
  private func endInShim(_ task: ShimTask) async -> Bool {
    let limit = configuration.limits.cleanup
    do {
      do {
        try await task.client.kill(task.id, signal: UInt32(SIGKILL), all: true, timeout: limit)
        _ = try await task.client.wait(task.id, timeout: limit)
      } catch  where error.reason == .status {
        // It is not there, or has ended.
        configuration.logger.debug(
          "a task that is given up was not killed",
          metadata: ["id": "\(task.id)", "error": "\(error)"])
      }
      _ = try await task.client.delete(task.id, timeout: limit)
      return true
    } catch  where error.isNotFound {
      return true
    } catch {
      configuration.logger.warning(
        "shim could not delete a task that is given up",
        metadata: ["id": "\(task.id)", "error": "\(error)"])
      // One that is mute or gone will not get better by a bundle that stays.
      return error.reason != .status
    }
  }

  func removeBundle(_ bundle: Bundle, after what: String) async {
    do {
      try await bundle.delete()
    } catch {
      configuration.logger.warning(
        "cannot remove the bundle after \(what)",
        metadata: ["id": "\(bundle.id)", "error": "\(error)"])
    }
  }
}
