internal import Logging
internal import TransportCore

/// What is done when a connection is gone and its shim is not: tasks and sandboxes go on with a new
/// one. What was being asked over the old one has failed.
extension ShimManager {
  /// Connects once more for those who lost their connection.
  ///
  /// - Returns: whether they have one now, or are not to have one any more.
  func relink(_ lost: [any LineHolder], to address: TransportAddress) async -> Bool {
    for holder in lost where isAstray(holder) {
      let lease: ShimConnections.Lease
      do {
        lease = try await self.lease(address, for: holder.bundle.id)
      } catch {
        configuration.logger.warning(
          "connection to a shim was lost, and there is no new one yet; nothing is cleaned up",
          metadata: ["address": "\(address)", "error": "\(error)"])
        return false
      }
      if !readopt(holder, with: lease) {
        await connections.release(lease)
      } else if let sandbox = holder as? ShimSandbox {
        watch(sandbox)
      }
    }
    return true
  }

  /// Goes on trying for as long as somebody has use for it, at growing intervals. Nobody waits for it:
  /// a shim may be away for as long as it likes.
  func relinkLater(_ lost: [any LineHolder], to address: TransportAddress) {
    Task.detached { [weak self] in
      var pause = Duration.milliseconds(100)
      while true {
        // Nobody cancels it.
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, .seconds(5))
        guard let self, lost.contains(where: { self.isAstray($0) }) else { return }
        if await self.isDead(address) {
          self.inBackground { await self.cleanUpStranded(lost, at: address) }
          return
        }
        if await self.relink(lost, to: address) { return }
      }
    }
  }
}
