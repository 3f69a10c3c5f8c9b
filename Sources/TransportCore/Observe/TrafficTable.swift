internal import NIOCore
internal import Synchronization

/// The traffic handlers of channels that are on the way to become connections.
///
/// A handler is added in the channel's initialiser; who the peer is comes out later and elsewhere,
/// when a peer that was quick may have closed the channel, and so emptied its pipeline, already.
final class TrafficTable: Sendable {
  private let report: ConnectionReport
  private let handlers = Mutex<[ObjectIdentifier: Entry]>([:])

  private struct Entry: Sendable {
    let handler: NIOLoopBound<TrafficHandler>
    let report: ConnectionReport
    let loop: any EventLoop
  }

  init(report: ConnectionReport) { self.report = report }

  /// Follows a channel. On its event loop.
  ///
  /// - Parameter report: the connection's own, when it is not the table's.
  func follow(_ channel: any Channel, as report: ConnectionReport? = nil) throws {
    let report = report ?? self.report
    let key = ObjectIdentifier(channel)
    let handler = TrafficHandler(report) { [weak self] handler in
      // Nobody will announce a channel that never was a connection.
      if !handler.wasActive { _ = self?.take(key) }
    }
    try channel.pipeline.syncOperations.addHandler(handler)
    let entry = Entry(
      handler: NIOLoopBound(handler, eventLoop: channel.eventLoop), report: report,
      loop: channel.eventLoop)
    handlers.withLock { $0[key] = entry }
  }

  /// The report of a channel's connection.
  func report(of connection: Connection) -> ConnectionReport? {
    handlers.withLock { $0[ObjectIdentifier(connection.channel)]?.report }
  }

  /// The connection has been announced.
  func begin(_ connection: Connection) {
    guard let entry = take(ObjectIdentifier(connection.channel)) else { return }
    entry.loop.execute { entry.handler.value.begin() }
  }

  private func take(_ key: ObjectIdentifier) -> Entry? {
    handlers.withLock { $0.removeValue(forKey: key) }
  }
}
