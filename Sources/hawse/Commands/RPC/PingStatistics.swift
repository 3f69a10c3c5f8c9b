import Foundation

/// What pings took, as ping counts it.
struct PingStatistics: Sendable {
  private(set) var sent = 0
  private(set) var answered = 0
  private var least = Double.infinity
  private var greatest = 0.0
  private var sum = 0.0
  private var squares = 0.0

  /// - Parameter time: nil for a ping without an answer.
  mutating func count(_ time: Duration?) {
    sent += 1
    guard let time else { return }
    let milliseconds = time.milliseconds
    answered += 1
    least = min(least, milliseconds)
    greatest = max(greatest, milliseconds)
    sum += milliseconds
    squares += milliseconds * milliseconds
  }

  struct Report: Encodable {
    struct Times: Encodable {
      var min, avg, max, mdev: Double
    }

    var address: String
    var sent: Int
    var answered: Int
    var lossPercent: Double
    /// None without an answer.
    var milliseconds: Times?

    /// For people.
    var lines: [String] {
      let loss = String(format: "%.3g", lossPercent)
      var lines = [
        "--- \(address) ping statistics ---",
        "\(sent) sent, \(answered) answered, \(loss)% lost",
      ]
      if let times = milliseconds {
        let texts = [times.min, times.avg, times.max, times.mdev].map(PingStatistics.text)
        lines.append("min/avg/max/mdev = \(texts.joined(separator: "/")) ms")
      }
      return lines
    }
  }

  func report(_ address: String) -> Report {
    let lost = sent == 0 ? 0 : 100 * Double(sent - answered) / Double(sent)
    var times: Report.Times?
    if answered > 0 {
      let mean = sum / Double(answered)
      // Rounding must not make it the root of less than nothing.
      let variance = max(0, squares / Double(answered) - mean * mean)
      times = Report.Times(
        min: least, avg: Self.rounded(mean), max: greatest,
        mdev: Self.rounded(variance.squareRoot()))
    }
    return Report(
      address: address, sent: sent, answered: answered, lossPercent: lost, milliseconds: times)
  }

  /// To the microsecond.
  private static func rounded(_ milliseconds: Double) -> Double {
    (milliseconds * 1000).rounded() / 1000
  }

  static func text(_ milliseconds: Double) -> String { String(format: "%.3f", milliseconds) }
}
