import Foundation
import Glibc
import TransportRelay

/// A proxy's counters in one line of a terminal, written over and over.
struct ProxyLiveLine {
  private var last: (statistics: RelayStatistics, time: ContinuousClock.Instant)?

  mutating func show(_ now: RelayStatistics) {
    let time = ContinuousClock.now
    var speed = ""
    if let last {
      let moved = now.bytesFromNear + now.bytesFromFar
      let before = last.statistics.bytesFromNear + last.statistics.bytesFromFar
      let seconds = (time - last.time) / .seconds(1)
      if moved > before, seconds > 0 {
        speed = " (\(Self.size(Int(Double(moved - before) / seconds)))/s)"
      }
    }
    last = (now, time)
    var text =
      "\(now.open) open, \(now.total) in all, \(Self.size(now.bytesFromNear)) out, "
      + "\(Self.size(now.bytesFromFar)) back\(speed)"
    let problems = [
      (now.refused, "refused"), (now.failed, "not connected"), (now.broken, "broken"),
    ]
    for (count, what) in problems where count > 0 { text += ", \(count) \(what)" }
    write(String(text.prefix(Self.width - 1)))
  }

  func clear() { write("") }

  /// The cursor goes back to the line's beginning, so that a message of the log is written over it.
  private func write(_ text: String) {
    FileHandle.standardError.write(Data("\u{1b}[K\(text)\r".utf8))
  }

  private static var width: Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 1 else { return 80 }
    return Int(size.ws_col)
  }

  static func size(_ bytes: Int) -> String {
    guard bytes >= 1000 else { return "\(bytes) B" }
    var value = Double(bytes)
    for unit in ["kB", "MB", "GB", "TB"] {
      value /= 1000
      if value < 999.95 || unit == "TB" { return "\((value * 10).rounded() / 10) \(unit)" }
    }
    return "\(bytes) B"
  }
}
