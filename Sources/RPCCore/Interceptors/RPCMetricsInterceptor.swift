public import CoreMetrics
internal import Synchronization
internal import TransportCore

/// Counts and times calls: `hawsepipe_rpc_calls_total` by side, method and code,
/// `hawsepipe_rpc_seconds` by side and method, `hawsepipe_rpc_messages_total` by side, method and
/// direction.
public struct RPCMetricsInterceptor: RPCObservingInterceptor {
  private let instruments: Instruments

  /// - Parameter factory: where the instruments are made; the process's own if there is none.
  public init(factory: (any MetricsFactory)? = nil) {
    instruments = Instruments(factory ?? MetricsSystem.factory)
  }

  public func ended(_ record: RPCCallRecord) {
    let method = instruments.of(record.side, record.method)
    instruments.calls(record.side, record.method, record.code).increment()
    method.seconds.recordNanoseconds(record.duration.nanoseconds)
    if record.sent > 0 { method.sent.increment(by: record.sent) }
    if record.received > 0 { method.received.increment(by: record.received) }
  }
}

/// The instruments that have been needed so far: making one is dear in some backends.
private final class Instruments: Sendable {
  struct Method {
    let seconds: Timer
    let sent: Counter
    let received: Counter
  }

  private struct MethodKey: Hashable {
    let side: RPCCallRecord.Side
    let method: RPCMethod
  }

  private struct CallKey: Hashable {
    let method: MethodKey
    let code: RPCCode
  }

  private let factory: any MetricsFactory
  private let methods = Mutex<[MethodKey: Method]>([:])
  private let counters = Mutex<[CallKey: Counter]>([:])

  init(_ factory: any MetricsFactory) { self.factory = factory }

  func of(_ side: RPCCallRecord.Side, _ method: RPCMethod) -> Method {
    let key = MethodKey(side: side, method: method)
    return methods.withLock { methods in
      if let known = methods[key] { return known }
      let labels = [("side", side.rawValue), ("method", method.path)]
      func messages(_ direction: String) -> Counter {
        Counter(
          label: "hawsepipe_rpc_messages_total", dimensions: labels + [("direction", direction)],
          factory: factory)
      }
      let made = Method(
        seconds: Timer(label: "hawsepipe_rpc_seconds", dimensions: labels, factory: factory),
        sent: messages("sent"), received: messages("received"))
      methods[key] = made
      return made
    }
  }

  func calls(_ side: RPCCallRecord.Side, _ method: RPCMethod, _ code: RPCCode) -> Counter {
    let key = CallKey(method: MethodKey(side: side, method: method), code: code)
    return counters.withLock { counters in
      if let known = counters[key] { return known }
      let made = Counter(
        label: "hawsepipe_rpc_calls_total",
        dimensions: [
          ("side", side.rawValue), ("method", method.path), ("code", "\(code)"),
        ], factory: factory)
      counters[key] = made
      return made
    }
  }
}
