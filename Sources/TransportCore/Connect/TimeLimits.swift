internal import Synchronization

/// Ends what takes too long.
///
/// One task sleeps for all of them, until the first is over. Nearly all are taken back long before, and
/// then cost a lock and nothing else: a sleeping task of each one's own is a timer set, a task woken to
/// be cancelled, and so two changes of threads in every connect.
final class TimeLimits: Sendable {
  static let shared = TimeLimits()

  private struct Limit {
    var end: ContinuousClock.Instant
    var action: @Sendable () -> Void
  }

  private struct State {
    var limits: [UInt64: Limit] = [:]
    var lastNumber: UInt64 = 0
    var sleeper: (task: Task<Void, Never>, end: ContinuousClock.Instant)?
  }

  private let state = Mutex(State())

  /// - Parameter action: called once the time is over, on any thread, unless ``end(_:)`` comes first.
  ///   Short, since it holds up the others.
  /// - Returns: the limit's number.
  func begin(_ limit: Duration, _ action: @escaping @Sendable () -> Void) -> UInt64 {
    let end = ContinuousClock.now + min(limit, .seconds(1_000_000_000))
    return state.withLock { state in
      state.lastNumber += 1
      state.limits[state.lastNumber] = Limit(end: end, action: action)
      if let sleeper = state.sleeper, sleeper.end <= end { return state.lastNumber }
      state.sleeper?.task.cancel()
      state.sleeper = (Task.detached { await self.sleep(until: end) }, end)
      return state.lastNumber
    }
  }

  /// Takes a limit back.
  ///
  /// - Returns: whether its time was over.
  func end(_ number: UInt64) -> Bool {
    // What it holds is released outside of the lock.
    let limit = state.withLock { $0.limits.removeValue(forKey: number) }
    return limit == nil
  }

  private func sleep(until first: ContinuousClock.Instant) async {
    var next: ContinuousClock.Instant? = first
    while let end = next {
      // A cancellation means that another one sleeps instead, which `takeDue` looks at.
      try? await Task.sleep(until: end, clock: .continuous)
      let (due, following) = takeDue()
      for limit in due { limit.action() }
      next = following
    }
  }

  /// - Returns: the limits that are over, and when to look again, if at all.
  private func takeDue() -> ([Limit], ContinuousClock.Instant?) {
    state.withLock { state in
      // Under the lock, as its being replaced is.
      guard !Task.isCancelled else { return ([], nil) }
      let now = ContinuousClock.now
      let due = state.limits.filter { $0.value.end <= now }
      for number in due.keys { state.limits[number] = nil }
      let following = state.limits.values.map(\.end).min()
      if let following { state.sleeper?.end = following } else { state.sleeper = nil }
      return (Array(due.values), following)
    }
  }
}
