internal import ContainerdClient
internal import Glibc
internal import Logging
internal import ProcessSupervision
internal import RPCCore
internal import ShimProtocol

extension ShimManager {
  /// Ends a sandbox and its shim, and removes what is left: its tasks' bundles, each with an exit that
  /// is reported, and then its own.
  ///
  /// A shim that does not end by itself is killed, as far as its process is known, and its binary's
  /// `delete` cleans up. Shutting down what is gone already does nothing.
  ///
  /// - Throws: ``ShimManagementError`` when it was cancelled, when somebody else works on the sandbox
  ///   or when the bundle cannot be removed; then it can be tried again.
  public func shutDown(_ sandbox: ShimSandbox) async throws(ShimManagementError) {
    try await locked(sandbox.namespace, sandbox.id) { () throws(ShimManagementError) in
      guard try self.find(namespace: sandbox.namespace, id: sandbox.id) != nil else {
        if self.forget(sandbox) { await self.letGo(of: sandbox) }
        return
      }
      let process = JoinRecord.read(from: sandbox.bundle.files)?.shim
      let isAsked = try await self.askToShutDown(sandbox)
      // Before the connection goes: its end is no loss any more.
      let watch = self.takeWatch(of: sandbox)
      let isHeld = self.forget(sandbox)
      let hasEnded = isAsked ? await self.hasEnded(sandbox, process) : false
      await watch?.settle(within: hasEnded ? self.configuration.limits.lastWords : .zero)
      if isHeld { await self.letGo(of: sandbox) }
      try await self.cleanUp(after: sandbox, process: process, hasEnded: hasEnded)
    }
  }

  /// - Returns: whether the shim took it, or is gone.
  /// - Throws: `.cancelled`; nothing is lost then.
  private func askToShutDown(_ sandbox: ShimSandbox) async throws(ShimManagementError) -> Bool {
    do {
      try await sandbox.client.shutdown(sandbox.id, timeout: configuration.limits.change)
      return true
    } catch {
      // A shim that ends as it is told may close the connection before its answer is out; one that
      // does not know the sandbox has nothing more to end than itself.
      if error.reason == .connectionClosed || error.isNotFound { return true }
      if error.reason == .cancelled {
        throw ShimManagementError(
          action: "shut down", subject: "sandbox \(sandbox.id)", address: sandbox.address, error)
      }
      configuration.logger.warning(
        "a sandbox's shim did not take its shutdown; it is ended",
        metadata: ["id": "\(sandbox.id)", "error": "\(error)"])
      return false
    }
  }

  private func hasEnded(_ sandbox: ShimSandbox, _ process: ProcessIdentity?) async -> Bool {
    let limit = configuration.limits.shutdown
    if let process { return await process.waitForEnd(within: limit) }
    let connection = sandbox.connection
    await first(within: limit) { await connection.waitUntilClosed() }
    return await isDeadSoon(sandbox.address)
  }

  private func cleanUp(
    after sandbox: ShimSandbox, process: ProcessIdentity?, hasEnded: Bool
  ) async throws(ShimManagementError) {
    let bundle = sandbox.bundle
    let binary = shimBinary(of: bundle)
    if !hasEnded {
      configuration.logger.warning(
        "a sandbox's shim did not end; it is killed", metadata: ["id": "\(sandbox.id)"])
      if let process, process.signal(SIGKILL) {
        _ = await process.waitForEnd(within: configuration.limits.shutdown)
      }
      await inBackground { [self] in await endStrays(in: bundle) }.value
    }
    for member in try members(ofSandbox: sandbox.id, namespace: sandbox.namespace) {
      guard let task = try find(namespace: sandbox.namespace, id: member) else { continue }
      try await cleanUpDead(task, fallback: binary)
    }
    try await removeDead(bundle, binary: hasEnded ? nil : binary)
    configuration.onStep(.bundleDeleted)
  }
}
