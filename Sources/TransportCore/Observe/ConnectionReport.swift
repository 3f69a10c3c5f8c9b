internal import Logging
internal import Synchronization

/// Where the events of one connect, accepted connection or listener go: to the log, the metrics, the
/// observer and the process's subscribers. There is none when nobody wants to know.
struct ConnectionReport: Sendable {
  let id: UInt64
  let side: ConnectionEvent.Side
  let address: TransportAddress
  let logger: Logger?
  let metrics: TransportMetrics?
  private let observer: (any ConnectionObserver)?

  private static let lastID = Atomic<UInt64>(0)

  init?(
    _ side: ConnectionEvent.Side, _ address: TransportAddress, logger: Logger?,
    observer: (any ConnectionObserver)?
  ) {
    self.init(
      side, address, logger: logger, observer: observer,
      metrics: TransportMetrics.current(for: address, side))
  }

  init?(
    _ side: ConnectionEvent.Side, _ address: TransportAddress, logger: Logger?,
    observer: (any ConnectionObserver)?, metrics: TransportMetrics?
  ) {
    guard logger != nil || observer != nil || metrics != nil || !EventHub.shared.isEmpty else {
      return nil
    }
    self.id = Self.lastID.add(1, ordering: .relaxed).newValue
    self.side = side
    self.address = address
    self.logger = logger
    self.metrics = metrics
    self.observer = observer
  }

  private init(_ other: ConnectionReport, id: UInt64) {
    self.id = id
    self.side = other.side
    self.address = other.address
    self.logger = other.logger
    self.metrics = other.metrics
    self.observer = other.observer
  }

  /// The report of one connection of this listener's.
  func ofConnection() -> ConnectionReport {
    ConnectionReport(self, id: Self.lastID.add(1, ordering: .relaxed).newValue)
  }

  /// - Parameter level: of the log's entry. Without one the event is not logged here.
  func tell(_ kind: ConnectionEvent.Kind, level: Logger.Level? = .debug) {
    if let logger, let level {
      logger.log(
        level: level, "Connection event",
        metadata: ["address": "\(address)", "connection": "\(id)", "event": "\(kind)"])
    }
    guard observer != nil || !EventHub.shared.isEmpty else { return }
    let event = ConnectionEvent(id: id, side: side, address: address, kind: kind)
    observer?.observe(event)
    EventHub.shared.publish(event)
  }
}
