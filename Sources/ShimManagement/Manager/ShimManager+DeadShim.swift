internal import ContainerdAPI
internal import ContainerdClient
internal import Glibc
internal import Logging
internal import NIOCore
internal import ShimProtocol
internal import SwiftProtobuf
internal import TransportCore

/// What is done when a shim is gone: its binary's `delete` once for each of its tasks, each task's
/// exit reported once, each bundle removed.
extension ShimManager {
  /// The connection that these tasks share has ended without anybody's asking. Who comes first says
  /// so: the connection itself, or whoever gives a task back whose connection is gone.
  func connectionLost(_ id: ShimConnections.ID) {
    let lost = strand(id)
    guard let first = lost.first else { return }
    let address = first.lease.address
    inBackground { [self] in
      if await isDeadSoon(address) {
        await cleanUpStranded(lost, at: address)
      } else if await !relink(lost, to: address) {
        relinkLater(lost, to: address)
      }
    }
  }

  func cleanUpStranded(_ lost: [any LineHolder], at address: TransportAddress) async {
    for holder in lost {
      forget(holder)
      await holder.log?.close()
    }
    for namespace in Set(lost.map(\.bundle.namespace)) {
      await cleanUpDead(namespace: namespace, at: address)
    }
  }

  /// Cleans up after every bundle of this namespace whose shim listened at this address: tasks first,
  /// because a sandbox's bundle knows the shim binary that its tasks need for it.
  func cleanUpDead(namespace: String, at address: TransportAddress) async {
    var tasks: [Bundle] = []
    var sandboxes: [Bundle] = []
    for bundle in bundles(namespace: namespace) {
      let files = BundleFiles(path: bundle.path)
      // A bundle whose parameters cannot be read cannot be known to be of this shim: it stays, and
      // is listed as damaged.
      guard let params = try? files.restoreBootstrapParams(),
        let endpoint = try? params.endpoint(origin: .received), endpoint == address
      else { continue }
      if sandboxID(of: bundle) == nil { sandboxes.append(bundle) } else { tasks.append(bundle) }
    }
    let binary = sandboxes.lazy.compactMap { self.shimBinary(of: $0) }.first
    await withTaskGroup { group in
      for bundle in tasks {
        group.addTask { await self.cleanUpReporting(bundle, fallback: binary) }
      }
    }
    for bundle in sandboxes { await cleanUpReporting(bundle, fallback: binary) }
  }

  private func cleanUpReporting(_ bundle: Bundle, fallback: String?) async {
    do {
      try await cleanUpDead(bundle, fallback: fallback)
    } catch {
      configuration.logger.warning(
        "cannot clean up after a dead shim",
        metadata: ["id": "\(bundle.id)", "error": "\(error)"])
    }
  }

  /// Cleans up after one task whose shim is gone. Whoever comes second finds nothing to do.
  ///
  /// - Parameters:
  ///   - fallback: the shim binary to use when the bundle does not name one.
  ///   - limit: how long to wait for who works on the same; `nil`: ``Limits/lock``.
  /// - Returns: the end that was reported; `nil` if somebody else had cleaned up.
  @discardableResult
  func cleanUpDead(
    _ bundle: Bundle, fallback: String?, lock limit: Duration? = nil
  ) async throws(ShimManagementError) -> TaskExit? {
    try await configuration.directory.withLock(
      namespace: bundle.namespace, id: bundle.id, timeout: limit ?? configuration.limits.lock
    ) { () throws(ShimManagementError) in
      guard try self.find(namespace: bundle.namespace, id: bundle.id) != nil else { return nil }
      let end = try await self.removeDead(bundle, binary: self.shimBinary(of: bundle) ?? fallback)
      return TaskExit(
        pid: end.pid, status: end.exitStatus, exitedAt: end.hasExitedAt ? end.exitedAt : nil)
    }
  }

  /// Removes the bundle of a task or sandbox whose shim is gone, and reports its end. Under its lock.
  ///
  /// - Parameter binary: whose `delete` cleans up; `nil` for none.
  @discardableResult
  func removeDead(
    _ bundle: Bundle, binary: String?
  ) async throws(ShimManagementError) -> Containerd_Task_V3_DeleteResponse {
    let end = await deleteByBinary(bundle, binary)
    let isSandbox = SandboxFile.isThere(in: bundle)
    // A file that cannot be read does not say that its end was reported.
    let isReported = (try? SandboxFile.read(from: bundle))??.exit != nil
    await removeSocket(of: bundle)
    try await bundle.delete()
    if isSandbox {
      publishSandboxExit(end, of: bundle, isReported)
    } else {
      publish(end, of: bundle)
    }
    return end
  }

  private func deleteByBinary(
    _ bundle: Bundle, _ binary: String?
  ) async -> Containerd_Task_V3_DeleteResponse {
    var unknown = Containerd_Task_V3_DeleteResponse()
    // containerd's number for "ended, nobody knows how".
    unknown.exitStatus = 255
    unknown.exitedAt = .current
    guard let recorded = binary else { return unknown }
    do {
      // It is run as who we are: what was safe when it was recorded must be safe still.
      return try await launcher.delete(binary: locate(recorded), bundle: bundle)
    } catch {
      configuration.logger.warning(
        "shim's delete failed", metadata: ["id": "\(bundle.id)", "error": "\(error)"])
      return unknown
    }
  }

  /// Removes the socket file that a dead shim could not remove itself: one of our own user's, on which
  /// nobody listens.
  private func removeSocket(of bundle: Bundle) async {
    // Without an address that can be read there is nothing that could be removed.
    guard sandboxID(of: bundle) == nil,
      let params = try? BundleFiles(path: bundle.path).restoreBootstrapParams(),
      let address = try? params.endpoint(), case .unix(let path) = address.place
    else { return }
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK,
      status.st_uid == geteuid(), await isDead(address)
    else { return }
    unlink(path)
  }

  private func publish(_ end: Containerd_Task_V3_DeleteResponse, of bundle: Bundle) {
    var exit = Containerd_Events_TaskExit()
    exit.containerID = bundle.id
    exit.id = bundle.id
    exit.pid = end.pid
    exit.exitStatus = end.exitStatus
    exit.exitedAt = end.exitedAt
    var deleted = Containerd_Events_TaskDelete()
    deleted.containerID = bundle.id
    deleted.pid = end.pid
    deleted.exitStatus = end.exitStatus
    deleted.exitedAt = end.exitedAt
    publish(exit, topic: EventTopic.taskExit, of: bundle)
    publish(deleted, topic: EventTopic.taskDelete, of: bundle)
  }

  private func publishSandboxExit(
    _ end: Containerd_Task_V3_DeleteResponse, of bundle: Bundle, _ isReported: Bool
  ) {
    // What the sandbox itself said counts for more than what its binary makes of what is left.
    let known = takeEnding(of: bundle)
    guard !isReported else { return }
    publishSandboxExit(
      status: known?.status ?? end.exitStatus, at: known?.exitedAt ?? end.exitedAt, of: bundle)
  }

  func publishSandboxExit(
    status: UInt32, at time: Google_Protobuf_Timestamp, of bundle: Bundle
  ) {
    var exit = Containerd_Events_SandboxExit()
    exit.sandboxID = bundle.id
    exit.exitStatus = status
    exit.exitedAt = time
    publish(exit, topic: EventTopic.sandboxExit, of: bundle)
  }

  private func publish(_ event: some Message, topic: String, of bundle: Bundle) {
    // Its one error is a message of more than 2 GiB.
    guard let packed = try? TypeURL.pack(event) else { return }
    broadcaster.publish(
      ShimEvent(
        namespace: bundle.namespace, topic: topic, timestamp: .current, event: packed))
  }

  /// Whether nobody listens at the address any more, asked about a connection that was just lost. A
  /// process that is killed closes its descriptors one by one: for a moment the connection is gone
  /// and the listener is not.
  func isDeadSoon(_ address: TransportAddress) async -> Bool {
    for pause in [10, 40, 150, 800] {
      if await isDead(address) { return true }
      // A cleanup is nobody's to cancel; if it were, the last answer would come sooner.
      try? await Task.sleep(for: .milliseconds(pause))
    }
    return await isDead(address)
  }

  /// Whether nobody listens at the address any more. No answer within the limit is no proof.
  func isDead(_ address: TransportAddress) async -> Bool {
    do {
      let connection = try await configuration.registry.connect(
        to: address, options: ConnectOptions(timeout: configuration.limits.query)
      ) { _ in }
      // The connection was only to see whether it comes about.
      try? await connection.channel.close()
      return false
    } catch {
      return Self.meansDead(error)
    }
  }

  func shimBinary(of bundle: Bundle) -> String? {
    // No file, or a damaged one: the bundle cannot name its binary, which callers take into account.
    try? BundleFiles(path: bundle.path).readShimBinaryPath()
  }

  func sandboxID(of bundle: Bundle) -> String? {
    // Only an attached task's bundle has the file.
    try? BundleFiles(path: bundle.path).readSandboxID()
  }

  private func bundles(namespace: String) -> [Bundle] {
    do {
      return try Bundle.list(namespace: namespace, in: configuration.directory)
    } catch {
      configuration.logger.warning(
        "cannot list bundles", metadata: ["namespace": "\(namespace)", "error": "\(error)"])
      return []
    }
  }
}
