import RPCCore
import TransportCore

/// When to dial, who waits for it, and which connection is the current one. No I/O, no clock.
struct RedialStateMachine<Client, Waiter> {
  /// Tells one who waits from another.
  typealias Token = UInt64

  enum Answer {
    case use(Client)
    /// Nobody dials yet: the asker begins, and waits like the others.
    case dial
    /// The dial under way will tell.
    case wait
    case fail(RPCError)
  }

  private enum Phase {
    case idle
    case dialling([Token: Waiter])
    case connected(Client)
    /// The last dial failed; none is begun before then.
    case resting(until: ContinuousClock.Instant, RPCError)
    case closed(RPCError)
  }

  private var phase = Phase.idle
  private let backoff: ConnectOptions.Backoff
  private var pause: Duration

  init(backoff: ConnectOptions.Backoff) {
    self.backoff = backoff
    pause = backoff.first
  }

  /// What a call is to do.
  ///
  /// - Parameter isAlive: whether a connection can still be used.
  mutating func ask(
    _ token: Token, _ waiter: Waiter, now: ContinuousClock.Instant, isAlive: (Client) -> Bool
  ) -> Answer {
    switch phase {
    case .closed(let error): return .fail(error)
    case .connected(let client) where isAlive(client): return .use(client)
    case .resting(let until, let error) where now < until: return .fail(error)
    case .idle, .connected, .resting:
      phase = .dialling([token: waiter])
      return .dial
    case .dialling(var waiters):
      waiters[token] = waiter
      phase = .dialling(waiters)
      return .wait
    }
  }

  /// Notes that a wait is given up.
  ///
  /// - Returns: who waited, or nil if the answer has come already or the wait has not begun.
  mutating func withdraw(_ token: Token) -> Waiter? {
    guard case .dialling(var waiters) = phase, let waiter = waiters.removeValue(forKey: token)
    else { return nil }
    phase = .dialling(waiters)
    return waiter
  }

  /// Takes a dial's outcome.
  ///
  /// - Parameter random: a number from 0 to 1, for the jitter.
  /// - Returns: those to tell; nobody if the client was closed meanwhile, since they know.
  mutating func dialled(
    _ outcome: Result<Client, RPCError>, now: ContinuousClock.Instant, random: Double
  ) -> [Waiter] {
    guard case .dialling(let waiters) = phase else { return [] }
    switch outcome {
    case .success(let client):
      phase = .connected(client)
      pause = backoff.first
    case .failure(let error):
      // Decorrelated jitter, as between the tries of one dial.
      let longest = max(backoff.first, min(backoff.most, pause * 3))
      pause = backoff.first + (longest - backoff.first) * random
      phase = .resting(until: now + pause, error)
    }
    return Array(waiters.values)
  }

  /// - Returns: what must be closed and those to tell; nil when it was closed before.
  mutating func close(_ error: RPCError) -> (Client?, [Waiter])? {
    let before = phase
    if case .closed = before { return nil }
    phase = .closed(error)
    switch before {
    case .dialling(let waiters): return (nil, Array(waiters.values))
    case .connected(let client): return (client, [])
    case .idle, .resting, .closed: return (nil, [])
    }
  }

  var current: Client? {
    if case .connected(let client) = phase { return client }
    return nil
  }
}

extension RPCError {
  static var redialWithdrawn: RPCError {
    RPCError(
      code: .cancelled, message: "the calling task was cancelled while it waited for a connection",
      reason: .cancelled)
  }
}
