internal import CoreMetrics
public import Logging
internal import NIOCore

extension Listener {
  /// This listener, with its events reported: connections, their first bytes and their ends. What
  /// ``TransportRegistry/listen(at:options:)`` makes has that already. When nobody wants to know at
  /// this moment, it is the listener itself.
  ///
  /// What is refused or fails before it is a connection is reported by the listener inside, which
  /// alone sees it, to the logger and observer that it was made with.
  public func observed(
    logger: Logger? = nil, observer: (any ConnectionObserver)? = nil
  ) -> any Listener {
    let report = ConnectionReport(.accepted, boundAddress, logger: logger, observer: observer)
    return report.map { ObservedListener(self, $0) } ?? self
  }
}

/// A listener whose connections are reported.
struct ObservedListener: Listener {
  private let inner: any Listener
  private let report: ConnectionReport

  init(_ inner: any Listener, _ report: ConnectionReport) {
    self.inner = inner
    self.report = report
    report.tell(.listening)
  }

  var boundAddress: TransportAddress { inner.boundAddress }
  var statistics: ListenerStatistics { inner.statistics }

  func run(
    policy: PeerPolicy?, configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError) {
    let report = report
    let traffic = TrafficTable(report: report)
    defer { report.tell(.stopped) }
    try await inner.run(policy: policy) { channel in
      try traffic.follow(channel, as: report.ofConnection())
      try configure(channel)
    } onConnection: { connection in
      if let report = traffic.report(of: connection) {
        report.metrics?.accepted.increment()
        for timing in connection.timings {
          report.tell(.phaseFinished(timing), level: .trace)
          report.metrics?.phase(timing)
        }
        let whole = connection.timings.reduce(Duration.zero) { $0 + $1.duration }
        report.tell(.connected(connection.peer, after: whole))
        traffic.begin(connection)
      }
      await onConnection(connection)
    }
  }

  func close() { inner.close() }
}
