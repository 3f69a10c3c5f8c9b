/// Lengths of time as Go writes them: `5s`, `500ms`, `1m30s`.
enum DurationText {
  private static let units: [(name: String, unit: Duration)] = [
    ("ms", .milliseconds(1)), ("h", .seconds(3600)), ("m", .seconds(60)), ("s", .seconds(1)),
  ]

  /// nil for what is none, and for more than a day.
  static func parse(_ text: String) -> Duration? {
    var rest = text[...]
    var total = Duration.zero
    guard !rest.isEmpty else { return nil }
    if rest == "0" { return .zero }
    while !rest.isEmpty {
      let digits = rest.prefix { ("0"..."9").contains($0) }
      guard let number = UInt32(digits) else { return nil }
      rest = rest.dropFirst(digits.count)
      guard let unit = units.first(where: { rest.hasPrefix($0.name) }) else { return nil }
      rest = rest.dropFirst(unit.name.count)
      total += unit.unit * Int(number)
    }
    return total <= .seconds(86_400) ? total : nil
  }

  static func text(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let milliseconds = attoseconds / 1_000_000_000_000_000
    return milliseconds == 0 ? "\(seconds)s" : "\(seconds * 1000 + milliseconds)ms"
  }
}
