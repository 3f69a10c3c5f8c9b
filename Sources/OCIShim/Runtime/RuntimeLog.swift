internal import JSON

/// The log that a runtime writes with `--log-format json`: one object a line.
enum RuntimeLog {
  static let largest = 1 << 20

  /// The runtime's own words for why it failed: the last message of the level `error`. Lines that
  /// are no such object are passed over, since a runtime that was killed may have left half of one.
  static func lastError(_ bytes: [UInt8]) -> String? {
    for line in bytes.split(separator: 0x0A).reversed() {
      // Not JSON: half a line, see above.
      guard let entry = try? JSONValue(parsing: line), entry["level"]?.string == "error",
        let message = entry["msg"]?.string
      else { continue }
      let trimmed = trim(message)
      if !trimmed.isEmpty { return trimmed }
    }
    return nil
  }

  static func trim(_ text: some StringProtocol) -> String {
    let isBlank: (Character) -> Bool = { $0.isWhitespace }
    let tail = text.drop(while: isBlank)
    guard let last = tail.lastIndex(where: { !isBlank($0) }) else { return "" }
    return String(tail[...last])
  }
}
