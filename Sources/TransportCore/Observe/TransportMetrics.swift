internal import CoreMetrics
internal import Synchronization

/// The instruments of one transport and side.
///
/// They are made once a factory: a meter that each connection made for itself would count only that
/// connection in a backend that keeps the value in the instrument.
final class TransportMetrics: Sendable {
  let received: Counter
  let sent: Counter
  let open: Meter
  let refusals: Counter
  let accepted: Counter
  let acceptErrors: Counter
  let firstByte: Timer
  private let factory: any MetricsFactory
  private let transport: String

  private init(transport: String, side: ConnectionEvent.Side, factory: any MetricsFactory) {
    let labels = [("transport", transport), ("side", side.rawValue)]
    func counter(_ name: String) -> Counter {
      Counter(label: "hawsepipe_\(name)_total", dimensions: labels, factory: factory)
    }
    received = counter("received_bytes")
    sent = counter("sent_bytes")
    refusals = counter("refusals")
    accepted = counter("accepted")
    acceptErrors = counter("accept_errors")
    open = Meter(label: "hawsepipe_open_connections", dimensions: labels, factory: factory)
    firstByte = Timer(label: "hawsepipe_first_byte_seconds", dimensions: labels, factory: factory)
    self.factory = factory
    self.transport = transport
  }

  /// Counts a try to connect.
  func attempt(_ outcome: String) {
    Counter(
      label: "hawsepipe_connect_attempts_total",
      dimensions: [("transport", transport), ("outcome", outcome)], factory: factory
    ).increment()
  }

  func phase(_ timing: PhaseTiming) {
    Timer(
      label: "hawsepipe_phase_seconds",
      dimensions: [("transport", transport), ("phase", timing.phase.label)], factory: factory
    ).recordNanoseconds(timing.duration.nanoseconds)
  }

  // MARK: One set a factory, transport and side

  private struct Key: Hashable {
    let factory: ObjectIdentifier
    let transport: String
    let side: ConnectionEvent.Side
  }

  private static let known = Mutex<[Key: TransportMetrics]>([:])

  /// The instruments in the current factory, or nil when metrics are not bootstrapped.
  static func current(for address: TransportAddress, _ side: ConnectionEvent.Side)
    -> TransportMetrics?
  {
    let factory = MetricsSystem.factory
    if factory is NOOPMetricsHandler { return nil }
    let transport = (address.layers + [address.transport]).joined(separator: "+")
    // A factory that is a value has no identity: all of its type are one. One that is an object
    // stays alive in its entry, so its identity is never another's.
    let type = type(of: factory as any Any)
    let identity =
      type is AnyClass ? ObjectIdentifier(factory as AnyObject) : ObjectIdentifier(type)
    let key = Key(factory: identity, transport: transport, side: side)
    return known.withLock { known in
      if let metrics = known[key] { return metrics }
      let metrics = TransportMetrics(transport: transport, side: side, factory: factory)
      known[key] = metrics
      return metrics
    }
  }
}

extension ConnectPhase {
  /// A name without spaces.
  fileprivate var label: String { self == .firstByte ? "first_byte" : rawValue }
}

extension Duration {
  /// Clamped to what an Int64 holds, 292 years.
  package var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflows) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflows { return seconds < 0 ? .min : .max }
    let (sum, wraps) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
    return wraps ? (seconds < 0 ? .min : .max) : sum
  }
}
