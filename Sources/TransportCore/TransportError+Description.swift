internal import LinuxSystem

extension TransportError: CustomStringConvertible {
  /// A paragraph for people: what failed, on what, why, what was tried, and what to do. It goes on
  /// from a program's name or another error's text, so it begins as the message does.
  public var description: String {
    var text = Self.ended(message)
    if !attempts.isEmpty { text += " " + attemptsText }
    if let hint { text += " " + Self.ended(hint.prefix(1).uppercased() + hint.dropFirst()) }
    return text
  }

  /// One line a kind of failure, in the order in which they first happened.
  private var attemptsText: String {
    let count = attempts.reduce(0) { $0 + $1.count }
    let list = attempts.map(\.description).joined(separator: "; ")
    return count == 1 ? "Tried once: \(list)." : "Tried \(count) times: \(list)."
  }

  private static func ended(_ text: String) -> String {
    text.hasSuffix(".") || text.hasSuffix("?") ? text : text + "."
  }
}

extension TransportError.Attempt: CustomStringConvertible {
  /// Such as "3 × connect: ECONNREFUSED, Connection refused (0.2 ms in all)".
  public var description: String {
    let times = count == 1 ? "" : "\(count) × "
    let span = duration.short + (count == 1 ? "" : " in all")
    return "\(times)\(failure) (\(span))"
  }
}

extension AttemptFailure: CustomStringConvertible {
  public var description: String {
    let name = errno == 0 ? "" : "\(errnoName(errno)), "
    return "\(phase.rawValue): \(name)\(message)"
  }
}

extension Duration {
  /// For people: three figures at most, in the unit that suits.
  var short: String {
    let (seconds, attoseconds) = components
    let total = Double(seconds) + Double(attoseconds) * 1e-18
    if total >= 1 { return Self.figures(total) + " s" }
    if total >= 0.001 { return Self.figures(total * 1e3) + " ms" }
    return "\(Int((total * 1e6).rounded())) µs"
  }

  private static func figures(_ value: Double) -> String {
    guard value < 100 else { return String(Int64(min(value.rounded(), 1e15))) }
    let tenths = Int((value * 10).rounded())
    return tenths % 10 == 0 ? String(tenths / 10) : "\(tenths / 10).\(tenths % 10)"
  }
}
