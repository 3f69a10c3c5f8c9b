/// How one check ended.
public struct ConformanceResult: Sendable {
  public var check: ConformanceCheck
  public var duration: Duration
  /// `nil` when the transport passed.
  public var failure: ConformanceFailure?
}

/// Runs the suite without a test framework: where there is only a program, such as in a guest.
public enum Conformance {
  /// Runs one check after the other and says of each in one line how it ended.
  ///
  /// - Parameters:
  ///   - checks: `nil` for all that suit the subject, those that need a process of their own
  ///     included: nothing else may run in the process then.
  ///   - say: takes the lines, without their ends.
  public static func report(
    _ subject: ConformanceSubject, checks: [ConformanceCheck]? = nil,
    say: (String) -> Void = { print($0) }
  ) async -> [ConformanceResult] {
    let checks =
      checks ?? ConformanceCheck.all(for: subject) + ConformanceCheck.alone(for: subject)
    let clock = ContinuousClock()
    var results: [ConformanceResult] = []
    for check in checks {
      let began = clock.now
      var failure: ConformanceFailure?
      do throws(ConformanceFailure) {
        try await check.run(against: subject)
      } catch {
        failure = error
      }
      let duration = clock.now - began
      let milliseconds = duration / .milliseconds(1)
      let word = failure == nil ? "ok    " : "FAILED"
      let reason = failure.map { ": " + $0.message } ?? ""
      say("\(word) \(subject.name): \(check.name) (\(Int(milliseconds)) ms)\(reason)")
      results.append(ConformanceResult(check: check, duration: duration, failure: failure))
    }
    let failed = results.count { $0.failure != nil }
    say("\(subject.name): \(results.count - failed) of \(results.count) checks passed")
    return results
  }
}
