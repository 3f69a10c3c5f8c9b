internal import ContainerdClient
internal import RPCCore
internal import SwiftProtobuf
internal import Synchronization

/// A sandbox behind an endpoint.
final class RemoteSandbox: DrivenSandbox {
  let peer: SandboxPeer
  let endpoint: RemoteEndpoint
  /// Whether the peer serves the Sandbox API. If not, the sandbox is the endpoint.
  let servesSandboxes: Bool
  /// Whether one that is an endpoint was told to end: then the end of its connection is its own.
  private let isStopped = Atomic(false)

  init(peer: SandboxPeer, endpoint: RemoteEndpoint, servesSandboxes: Bool) {
    self.peer = peer
    self.endpoint = endpoint
    self.servesSandboxes = servesSandboxes
  }

  func start() async throws(SandboxControlError) -> SandboxInstance {
    var instance = SandboxInstance(
      pid: 0, createdAt: .now, address: endpoint.taskAddress, version: endpoint.version)
    guard servesSandboxes else { return instance }
    let started = try await peer.start()
    // A pid of another machine means nothing on this one.
    if endpoint.address.isOfThisHost { instance.pid = started.pid }
    if let time = started.createdAt { instance.createdAt = time }
    instance.spec = started.spec
    return instance
  }

  func stop(within limit: Duration) async throws(SandboxControlError) {
    guard servesSandboxes else {
      // Nobody there can be told. Letting go of it is all that can be done.
      isStopped.store(true, ordering: .relaxed)
      await release()
      return
    }
    try await peer.stop(within: limit)
  }

  func wait() async throws(SandboxControlError) -> SandboxExit {
    if servesSandboxes { return try await peer.wait() }
    await peer.line.connection.waitUntilClosed()
    if isStopped.load(ordering: .relaxed) { return SandboxExit(status: 0, exitedAt: .now) }
    throw SandboxControlError(
      code: .unreachable, message: "the connection of sandbox \(peer.name) has ended")
  }

  func status(verbose: Bool) async throws(SandboxControlError) -> DrivenStatus {
    guard servesSandboxes else {
      try await peer.pingProtocol()
      return DrivenStatus()
    }
    let status = try await peer.status(verbose: verbose)
    return DrivenStatus(pid: status.pid, state: status.state.rawValue, info: status.info)
  }

  func platform() async throws(SandboxControlError) -> SandboxPlatform {
    guard servesSandboxes else { return .ofThisHost }
    do throws(SandboxControlError) { return try await peer.platform() } catch {
      guard error.code == .unsupported else { throw error }
      return .ofThisHost
    }
  }

  func metrics() async throws(SandboxControlError) -> SandboxMetrics { try await peer.metrics() }

  func ping() async throws(SandboxControlError) {
    if servesSandboxes { try await peer.ping() } else { try await peer.pingProtocol() }
  }

  func update(
    _ record: SandboxRecord, fields: [String]
  ) async throws(SandboxControlError) { try await peer.update(record, fields: fields) }

  func shutDown() async throws(SandboxControlError) {
    if servesSandboxes { try await peer.shutdown() }
    await release()
  }

  func release() async { await peer.line.connection.close() }
}
