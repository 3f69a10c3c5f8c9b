import Foundation
import Glibc
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
      write("listening at \(address)\n", to: STDOUT_FILENO)
    }
  }

  func statistics(_ statistics: RelayStatistics) { print("statistics", statistics) }
  func stopping(_ statistics: RelayStatistics) { print("stopping", statistics) }
  func stopped(_ statistics: RelayStatistics) { print("stopped", statistics) }

  /// Until the task is cancelled.
  func regularly(_ statistics: @Sendable () -> RelayStatistics) async {
    let isTerminal = isatty(STDERR_FILENO) == 1 && !json
    guard let interval = interval ?? (isTerminal ? 1 : nil) else { return }
    var last: RelayStatistics?
    while !Task.isCancelled {
      let now = statistics()
      // A terminal is told what changed, a program gets its lines.
      if self.interval != nil || now != last { print("statistics", now) }
      last = now
      do {
        try await Task.sleep(for: .seconds(interval))
      } catch {
        return
      }
    }
  }

  private func print(_ event: String, _ statistics: RelayStatistics) {
    if json { return print(Line(event: event, statistics: Counters(statistics))) }
    let start = event == "statistics" ? "" : "\(event): "
    write(
      "hawse: \(start)\(statistics.open) open, \(statistics.total) in all, "
        + "\(statistics.bytesFromNear) B to the far side, \(statistics.bytesFromFar) B back; "
        + "\(statistics.refused) refused, \(statistics.failed) not connected, "
        + "\(statistics.broken) broken\n", to: STDERR_FILENO)
  }

  private func print(_ line: Line) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      write(String(decoding: try encoder.encode(line), as: UTF8.self) + "\n", to: STDOUT_FILENO)
    } catch {
      Output.note("cannot print a report: \(error)")
    }
  }

  /// At once, whatever it goes to: whoever waits for the line waits for all of it. A reader that went
  /// away is nothing to end for.
  private func write(_ text: String, to descriptor: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }
}
