#if GRPC
  /// The header `grpc-timeout`: at most eight digits and a unit (gRPC over HTTP/2, "Timeout").
  enum WireTimeout {
    static let key = "grpc-timeout"

    private static let units: [(name: Character, nanoseconds: Int64)] = [
      ("n", 1), ("u", 1_000), ("m", 1_000_000), ("S", 1_000_000_000), ("M", 60_000_000_000),
      ("H", 3_600_000_000_000),
    ]
    private static let longest: Int64 = 99_999_999

    /// The finest unit whose number fits, rounded up: who waits on the other side must not give up
    /// before this one.
    static func encode(_ timeout: Duration) -> String {
      let (seconds, attoseconds) = max(timeout, .zero).components
      // A century stands for everything longer, which nanoseconds could not hold.
      guard seconds < 100 * 366 * 86_400 else { return "\(100 * 366 * 24)H" }
      let nanoseconds = seconds * 1_000_000_000 + attoseconds / 1_000_000_000
      for unit in units {
        let count = (nanoseconds + unit.nanoseconds - 1) / unit.nanoseconds
        if count <= longest { return "\(count)\(unit.name)" }
      }
      return "\(longest)H"
    }

    /// - Returns: nil when it is not a timeout.
    static func decode(_ text: String) -> Duration? {
      guard let last = text.last, let unit = units.first(where: { $0.name == last }) else {
        return nil
      }
      let digits = text.dropLast()
      guard (1...8).contains(digits.utf8.count), digits.utf8.allSatisfy({ 48...57 ~= $0 }),
        let count = Int64(digits)
      else { return nil }
      // At most 99,999,999 hours: seconds hold that, nanoseconds do not.
      return unit.nanoseconds >= 1_000_000_000
        ? .seconds(count * (unit.nanoseconds / 1_000_000_000))
        : .nanoseconds(count * unit.nanoseconds)
    }
  }
#endif
