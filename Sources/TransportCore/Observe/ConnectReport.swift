internal import CoreMetrics
internal import Logging

/// Tells what happens during one call to connect, or to wait for readiness. Nothing is made when
/// nobody wants to know.
struct ConnectReport: Sendable {
  private let report: ConnectionReport?
  private let span: ConnectSpan?
  private let began = ContinuousClock.now

  init(_ address: TransportAddress, _ options: ConnectOptions) {
    report = ConnectionReport(
      .dialled, address, logger: options.logger, observer: options.observer)
    span = ConnectSpan(address)
  }

  /// What follows the connections of one try, when anybody wants to know.
  var traffic: TrafficTable? { report.map { TrafficTable(report: $0) } }

  func started(_ number: Int) {
    report?.tell(.attemptStarted(number: number), level: .trace)
  }

  func failed(_ failure: AttemptFailure, number: Int, after duration: Duration, isCancelled: Bool) {
    if let report {
      report.tell(.attemptFailed(number: number, failure, after: duration))
      report.metrics?.attempt(isCancelled ? "cancelled" : failure.outcome)
      if failure.isRefusal {
        report.metrics?.refusals.increment()
        report.tell(
          .refused(failure.peer ?? PeerIdentity(), reason: failure.message), level: .warning)
      }
    }
    span?.failed(failure, number: number)
  }

  func connected(_ connection: Connection, attempts: Int, _ traffic: TrafficTable?) {
    if let report {
      phases(connection.timings, report)
      report.tell(.connected(connection.peer, after: ContinuousClock.now - began))
    }
    traffic?.begin(connection)
    span?.succeeded(connection.peer, connection.timings, attempts: attempts)
  }

  func ready(_ readiness: Readiness) {
    if let report {
      phases(readiness.timings, report)
      report.tell(.ready(readiness.peer, after: ContinuousClock.now - began))
    }
    span?.succeeded(readiness.peer, readiness.timings, attempts: readiness.attempts)
  }

  func gaveUp(_ error: TransportError, attempts: Int) {
    report?.tell(.gaveUp(error, after: ContinuousClock.now - began))
    span?.ended(error, attempts: attempts)
  }

  private func phases(_ timings: [PhaseTiming], _ report: ConnectionReport) {
    report.metrics?.attempt("connected")
    for timing in timings {
      report.tell(.phaseFinished(timing), level: .trace)
      report.metrics?.phase(timing)
    }
  }
}

extension AttemptFailure {
  /// A metric's word for it.
  fileprivate var outcome: String {
    if isRefusal { return "refused" }
    switch outlook {
    case .notReady: return "not_ready"
    case .transient: return "transient"
    case .fatal: return "fatal"
    }
  }
}
