/// The failed tries of one connect, in bounded memory: tries that failed in the same way are one
/// entry that counts them, wherever in the order they came.
struct AttemptLog {
  /// Kinds of failure that are told apart. What comes beyond them is counted in an entry of its own.
  private static let limit = 31

  private(set) var attempts: [TransportError.Attempt] = []
  /// How many tries failed.
  private(set) var count = 0
  /// The failure that says most of why there is no connection: the last one, unless it was only
  /// that the time for all tries ran out during it.
  private(set) var decisive: AttemptFailure?

  /// - Parameter isCutShort: the try was ended because the time for all of them was up.
  mutating func append(
    _ failure: AttemptFailure, took duration: Duration, isCutShort: Bool = false
  ) {
    count += 1
    if decisive == nil || !isCutShort { decisive = failure }
    if let index = attempts.firstIndex(where: { Self.isSame($0.failure, failure) }) {
      add(duration, at: index)
    } else if attempts.count < Self.limit {
      attempts.append(TransportError.Attempt(failure: failure, duration: duration))
    } else if attempts.count == Self.limit {
      let others = AttemptFailure(
        phase: failure.phase, message: "in other ways", outlook: failure.outlook)
      attempts.append(TransportError.Attempt(failure: others, duration: duration))
    } else {
      add(duration, at: Self.limit)
    }
  }

  private mutating func add(_ duration: Duration, at index: Int) {
    attempts[index].duration += duration
    attempts[index].count += 1
  }

  private static func isSame(_ left: AttemptFailure, _ right: AttemptFailure) -> Bool {
    left.phase == right.phase && left.errno == right.errno && left.message == right.message
      && left.outlook == right.outlook
  }
}
