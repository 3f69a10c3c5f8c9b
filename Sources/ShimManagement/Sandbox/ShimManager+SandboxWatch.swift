internal import ContainerdClient
internal import ContainerdAPI
internal import Logging
internal import RPCCore
internal import SwiftProtobuf
internal import TransportCore

/// Waits for a sandbox's end, for as long as somebody holds the sandbox.
struct SandboxWatch: Sendable {
  /// Gives the sandbox's end; `nil` when it did not say.
  let waiting: Task<SandboxExit?, Never>
  /// The connection that it asks over.
  let connection: ShimConnections.ID

  func cancel() { waiting.cancel() }

  /// Waits for what the sandbox may still say of its end, and then asks no more.
  func settle(within limit: Duration) async {
    await first(within: limit) { [waiting] in
      await withTaskCancellationHandler {
        _ = await waiting.value
      } onCancel: {
        waiting.cancel()
      }
    }
    cancel()
  }
}

/// Waits until the body is done, or for so long.
///
/// - Parameter body: must return early when it is cancelled.
func first(within limit: Duration, _ body: @escaping @Sendable () async -> Void) async {
  await withTaskGroup { group in
    group.addTask { await body() }
    // Cut short when the body is done, which is all that is waited for.
    group.addTask { try? await Task.sleep(for: limit) }
    await group.next()
    group.cancelAll()
  }
}

/// A sandbox ends once, however that is noticed: by its shim's answer to Wait, or by the loss of the
/// connection to it. Its tasks' ends are reported before its own.
extension ShimManager {
  func sandbox(
    bundle: Bundle, address: TransportAddress, version: Int, lease: ShimConnections.Lease,
    log: ShimLog?
  ) -> ShimSandbox {
    ShimSandbox(
      bundle: bundle, address: address, version: version, lease: lease, log: log,
      manager: configuration, onStart: { [weak self] in self?.watch($0) })
  }

  /// Has the end of a sandbox reported. One that is watched already is not watched twice.
  func watch(_ sandbox: ShimSandbox) {
    let lease = sandbox.lease
    let client = SandboxClient(caller: lease.line, namespace: sandbox.namespace)
    let watch = SandboxWatch(
      waiting: Task.detached { [weak self] () async -> SandboxExit? in
        do throws(RPCError) {
          let exit = try await client.wait(sandbox.id)
          self?.remember(exit, of: sandbox.bundle)
          return exit
        } catch {
          if error.reason == .status {
            self?.configuration.logger.debug(
              "a sandbox's shim does not say when it ends",
              metadata: ["id": "\(sandbox.id)", "error": "\(error)"])
          }
          return nil
        }
      }, connection: lease.id)
    guard keep(watch, of: sandbox) else { return watch.cancel() }
    Task.detached { [weak self] in
      let exit = await watch.waiting.value
      guard let self else { return }
      drop(watch, of: sandbox)
      if exit != nil { inBackground { await self.sandboxEnded(sandbox) } }
    }
  }

  /// The sandbox says that it has ended. If its shim goes with it, that is noticed in a moment and all
  /// is cleaned up, tasks first; else the tasks' ends are the shim's to tell, and the sandbox's is told
  /// here.
  private func sandboxEnded(_ sandbox: ShimSandbox) async {
    let connection = sandbox.connection
    let limit = configuration.limits.lastWords
    await first(within: limit) { await connection.waitUntilClosed() }
    guard connection.isConnected else { return }
    // Of a bundle that is gone by then: whoever removed it has told.
    defer { _ = takeEnding(of: sandbox.bundle) }
    do {
      try await locked(sandbox.namespace, sandbox.id) { () throws(ShimManagementError) in
        guard try self.find(namespace: sandbox.namespace, id: sandbox.id) != nil,
          var file = try SandboxFile.read(from: sandbox.bundle), file.exit == nil,
          let exit = self.takeEnding(of: sandbox.bundle)
        else { return }
        // On disk before it is told, so that it is not told twice.
        file.exit = SandboxFile.Exit(exit)
        try file.write(to: sandbox.bundle)
        self.publishSandboxExit(
          status: exit.status, at: exit.exitedAt ?? .current, of: sandbox.bundle)
      }
    } catch {
      configuration.logger.warning(
        "a sandbox's end cannot be reported",
        metadata: ["id": "\(sandbox.id)", "error": "\(error)"])
    }
  }
}
