internal import ContainerdAPI
public import ContainerdClient
internal import Logging
internal import RPCCore

extension ShimManager {
  /// Deletes a task that has ended: in the shim, then its line, then its bundle.
  ///
  /// The shim is told to shut down afterwards, which it does not do while it has tasks. An endpoint
  /// of version 3 to which a task was attached is left alone: it is the sandbox's, and some of
  /// containerd's shims of that version end with their last task.
  ///
  /// - Returns: the task's end; `nil` if the shim did not know the task (it was never created).
  /// - Throws: what the shim said; nothing is removed then, and deleting can be tried again.
  @discardableResult
  public func delete(_ task: ShimTask) async throws(ShimManagementError) -> TaskExit? {
    try await locked(task.namespace, task.id) { () throws(ShimManagementError) in
      try self.requireNoTasks(inSandbox: task.id, of: task.namespace)
      let exit = try await self.deleteInShim(task)
      self.configuration.onStep(.taskDeleted)
      // Before the connection goes: its end is no loss any more.
      self.forget(task)
      if task.sandboxID == nil || task.version < 3 {
        await self.shutDown(task)
      }
      await self.letGo(of: task)
      try await task.bundle.delete()
      self.configuration.onStep(.bundleDeleted)
      return exit
    }
  }

  /// A sandbox is not deleted under its tasks. Attaching holds the sandbox's lock, so none can join
  /// between this look and the end.
  private func requireNoTasks(
    inSandbox id: String, of namespace: String
  ) throws(ShimManagementError) {
    let members = try Bundle.list(namespace: namespace, in: configuration.directory)
      .filter { sandboxID(of: $0) == id }.map(\.id)
    guard members.isEmpty else {
      throw ShimManagementError(
        code: .busy,
        message: "cannot remove sandbox \(id): \(members.sorted().joined(separator: ", ")) "
          + "\(members.count == 1 ? "is" : "are") attached to it",
        hint: "remove the tasks first, or use hawse sandbox rm --force")
    }
  }

  private func deleteInShim(_ task: ShimTask) async throws(ShimManagementError) -> TaskExit? {
    let limit = configuration.limits.change
    let answer: Result<TaskExit, RPCError>
    do {
      answer = .success(try await task.client.delete(id: task.id, timeout: limit))
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
    do {
      try await task.client.shutdown(id: task.id, timeout: configuration.limits.shutdown)
    } catch {
      // A shim that ends as it is told may close the connection before its answer is out.
      guard error.reason != .connectionClosed else { return }
      configuration.logger.warning(
        "shim did not take Shutdown; it may be left behind",
        metadata: ["id": "\(task.id)", "error": "\(error)"])
    }
  }
}
