/// The failed tries of one connect, in bounded memory: tries that failed in the same way are one
/// entry that counts them.
struct AttemptLog {
  /// Entries kept; what comes beyond them is counted with the entry most like it.
  private static let limit = 32

  private(set) var attempts: [TransportError.Attempt] = []

  mutating func append(_ failure: AttemptFailure, took duration: Duration) {
    if let last = attempts.indices.last, Self.isSame(attempts[last].failure, failure) {
      count(duration, at: last)
    } else if attempts.count < Self.limit {
      attempts.append(TransportError.Attempt(failure: failure, duration: duration))
    } else {
      let like = attempts.lastIndex { Self.isSame($0.failure, failure) }
      count(duration, at: like ?? Self.limit - 1)
    }
  }

  private mutating func count(_ duration: Duration, at index: Int) {
    attempts[index].duration += duration
    attempts[index].count += 1
  }

  private static func isSame(_ left: AttemptFailure, _ right: AttemptFailure) -> Bool {
    left.phase == right.phase && left.errno == right.errno && left.message == right.message
      && left.outlook == right.outlook
  }
}
