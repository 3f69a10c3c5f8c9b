import Glibc
import TLSTransport
import TransportCore
import TransportRelay

/// What a proxy prints: its address when it listens, its counters when it is asked.
struct ProxyReport: Sendable {
  var json: Bool
  /// Seconds.
  var interval: Double?

  private struct Line: Encodable {
    var event: String
    var address: String?
    var statistics: Counters?
    /// What could not be reloaded, and why.
    var problems: [String]?
  }

  private struct Counters: Encodable {
    var bytesFromNear: Int
    var bytesFromFar: Int
    var open: Int
    var total: Int
    var refused: Int
    var failed: Int
    var broken: Int

    init(_ statistics: RelayStatistics) {
      bytesFromNear = statistics.bytesFromNear
      bytesFromFar = statistics.bytesFromFar
      open = statistics.open
      total = statistics.total
      refused = statistics.refused
      failed = statistics.failed
      broken = statistics.broken
    }
  }

  func listening(at address: TransportAddress) {
    if json {
      print(Line(event: "listening", address: "\(address)"))
    } else {
      Output.line("listening at \(address)")
    }
  }

  func statistics(_ statistics: RelayStatistics) { print("statistics", statistics) }
  func stopping(_ statistics: RelayStatistics) { print("stopping", statistics) }
  func stopped(_ statistics: RelayStatistics) { print("stopped", statistics) }

  /// The certificates of TLS, but for those that do not work.
  func reloaded(_ problems: [TLSError]) {
    let texts = problems.map { "\($0)" }
    if json { return print(Line(event: "reloaded", problems: texts)) }
    for text in texts { Output.note("the TLS credentials of before stay in use: \(text)") }
    if texts.isEmpty { Output.note("reloaded the TLS credentials") }
  }

  /// Until the task is cancelled: on a terminal a line that is rewritten, to others lines.
  func regularly(_ statistics: @Sendable () -> RelayStatistics) async {
    let isTerminal = isatty(STDERR_FILENO) == 1 && !json
    guard let interval = interval ?? (isTerminal ? 1 : nil) else { return }
    var live = ProxyLiveLine()
    while !Task.isCancelled {
      if isTerminal { live.show(statistics()) } else { print("statistics", statistics()) }
      do {
        try await Task.sleep(for: .seconds(interval))
      } catch {
        break
      }
    }
    if isTerminal { live.clear() }
  }

  private func print(_ event: String, _ statistics: RelayStatistics) {
    if json { return print(Line(event: event, statistics: Counters(statistics))) }
    let start = event == "statistics" ? "" : "\(event): "
    Output.note(
      "\(start)\(statistics.open) open, \(statistics.total) in all, "
        + "\(statistics.bytesFromNear) B to the far side, \(statistics.bytesFromFar) B back; "
        + "\(statistics.refused) refused, \(statistics.failed) not connected, "
        + "\(statistics.broken) broken")
  }

  private func print(_ line: Line) {
    do {
      try Output.jsonLine(line)
    } catch {
      Output.note("cannot print a report: \(error)")
    }
  }
}
