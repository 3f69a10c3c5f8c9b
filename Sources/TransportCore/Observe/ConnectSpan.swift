internal import Tracing

/// The span `hawsepipe.connect`: one call to connect, with all its tries.
struct ConnectSpan {
  private let span: any Span

  /// nil when tracing is not bootstrapped.
  init?(_ address: TransportAddress) {
    let tracer = InstrumentationSystem.tracer
    if tracer is NoOpTracer { return nil }
    span = tracer.startAnySpan("hawsepipe.connect", ofKind: .client)
    span.attributes["hawsepipe.address"] = address.description
    span.attributes["hawsepipe.transport"] = address.transport
  }

  func failed(_ failure: AttemptFailure, number: Int) {
    span.addEvent(
      SpanEvent(
        name: "attempt failed",
        attributes: [
          "hawsepipe.attempt": .int64(Int64(number)),
          "hawsepipe.phase": .string(failure.phase.rawValue),
          "hawsepipe.errno": .int32(failure.errno),
          "hawsepipe.reason": .string(failure.message),
        ]))
  }

  func succeeded(_ peer: PeerIdentity, _ timings: [PhaseTiming], attempts: Int) {
    for timing in timings {
      span.attributes["hawsepipe.\(timing.phase.rawValue)_ns"] = timing.duration.nanoseconds
    }
    span.attributes["hawsepipe.peer"] = peer.description
    span.attributes["hawsepipe.attempts"] = attempts
    span.end()
  }

  func ended(_ error: TransportError, attempts: Int) {
    span.attributes["hawsepipe.attempts"] = attempts
    span.setStatus(SpanStatus(code: .error, message: error.message))
    span.recordError(error)
    span.end()
  }
}
