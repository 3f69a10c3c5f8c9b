internal import RPCCore
internal import TransportCore

/// What to do after each try to deliver an event. No I/O, no clock.
struct DeliveryStateMachine {
  enum Step: Equatable {
    /// It is delivered: the next one.
    case next
    case tryAgain(after: Duration)
    /// The daemon will not have it; the next one.
    case giveUp
  }

  /// How often the daemon may refuse an event with a code that may mean "not now".
  static let mostRefusals = 20

  private let backoff: ConnectOptions.Backoff
  private var pause: Duration
  private var refusals = 0
  /// Whether the last try failed.
  private(set) var isFailing = false

  init(backoff: ConnectOptions.Backoff) {
    self.backoff = backoff
    pause = backoff.first
  }

  mutating func delivered() -> Step {
    pause = backoff.first
    refusals = 0
    isFailing = false
    return .next
  }

  mutating func failed(_ error: RPCError) -> Step {
    switch error.reason {
    case .status where error.code != .unavailable && error.code != .deadlineExceeded:
      // The same bytes would be refused for ever, and all behind them would wait.
      refusals += error.code == .invalidArgument ? Self.mostRefusals : 1
    case .oversize, .encoding:
      refusals = Self.mostRefusals
    default: break
    }
    if refusals >= Self.mostRefusals {
      pause = backoff.first
      refusals = 0
      return .giveUp
    }
    isFailing = true
    let now = pause
    pause = min(backoff.most, pause * 2)
    return .tryAgain(after: now)
  }
}
