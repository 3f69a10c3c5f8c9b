/// When to try to connect, for how long, and when to give up: ``ConnectOptions`` put to work.
///
/// It knows neither clock nor chance: times are durations since the start, and who drives it brings
/// random numbers.
struct ConnectStateMachine {
  enum Action: Equatable {
    /// Try once, for no longer than this.
    case attempt(limit: Duration)
    /// Wait this long, then ask ``next(now:)``.
    case pause(Duration)
    case giveUp(TransportError.Code)
  }

  private let mode: ConnectOptions.Mode
  private let timeout: Duration
  private let tryLimit: Duration
  private var lastPause: Duration?

  init(_ options: ConnectOptions) {
    self.mode = options.mode
    self.timeout = options.timeout
    self.tryLimit = options.tryLimit
  }

  /// What to do at the start and after a pause.
  func next(now: Duration) -> Action {
    let left = timeout - now
    return left > .zero ? .attempt(limit: min(left, tryLimit)) : .giveUp(.timedOut)
  }

  /// What to do after a failed try.
  ///
  /// - Parameter random: a number from 0 to 1, for the jitter.
  mutating func failed(_ outlook: AttemptFailure.Outlook, now: Duration, random: Double) -> Action {
    guard now < timeout || outlook == .fatal else { return .giveUp(.timedOut) }
    guard outlook != .fatal, case .waitUntilReady(let backoff) = mode else {
      return .giveUp(.connectFailed)
    }
    let pause = nextPause(backoff, random)
    // A peer that came up during the last pause would be missed if that ran past the end.
    let latest = timeout - now - backoff.first
    guard latest > .zero else { return .giveUp(.timedOut) }
    return .pause(min(pause, latest))
  }

  /// Decorrelated jitter: between the first pause and three times the last one.
  private mutating func nextPause(_ backoff: ConnectOptions.Backoff, _ random: Double) -> Duration {
    // Clamped, so that no setting makes it spin or overflow.
    let first = max(backoff.first, .microseconds(100))
    let most = min(max(backoff.most, first), .seconds(3600))
    let ceiling = min((lastPause ?? first) * 3, most)
    let pause = min(first + (ceiling - min(first, ceiling)) * random, most)
    lastPause = pause
    return pause
  }
}
