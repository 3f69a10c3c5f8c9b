#if GRPC
  internal import RPCCore
  internal import TransportCore

  /// When to dial, who waits for it, and which connection is the current one. No I/O, no clock.
  struct LinkStateMachine<Link, Waiter> {
    /// Tells one who waits from another.
    typealias Token = UInt64

    enum Answer {
      case use(Link)
      /// Nobody dials yet: the asker begins, and waits like the others.
      case dial
      /// The dial under way, or the next one, will tell.
      case wait
      /// The next dial will tell, and nobody has waited for it so far: the asker begins it after that
      /// long.
      case rest(Duration)
      case fail(RPCError)
      /// As many wait as may.
      case full
    }

    private struct Queue {
      /// Those who take a dial's failure for their answer.
      var hasty: [Token: Waiter] = [:]
      /// Those who wait until a dial succeeds.
      var patient: [Token: Waiter] = [:]

      var count: Int { hasty.count + patient.count }
      var all: [Waiter] { Array(hasty.values) + patient.values }

      mutating func add(_ token: Token, _ waiter: Waiter, isPatient: Bool) {
        if isPatient { patient[token] = waiter } else { hasty[token] = waiter }
      }

      mutating func remove(_ token: Token) -> Waiter? {
        hasty.removeValue(forKey: token) ?? patient.removeValue(forKey: token)
      }
    }

    private enum Phase {
      case idle
      case dialling(Queue)
      case connected(Link)
      /// The last dial failed; none is begun before then. Nobody in the queue is hasty.
      case resting(until: ContinuousClock.Instant, RPCError, Queue)
      case closed(RPCError)
    }

    private var phase = Phase.idle
    private let backoff: ConnectOptions.Backoff
    private let maximumWaiting: Int
    private var pause: Duration

    init(backoff: ConnectOptions.Backoff, maximumWaiting: Int) {
      self.backoff = backoff
      self.maximumWaiting = maximumWaiting
      pause = backoff.first
    }

    /// What a call is to do.
    ///
    /// - Parameter isAlive: whether a connection can still be used.
    mutating func ask(
      _ token: Token, _ waiter: Waiter, isPatient: Bool, now: ContinuousClock.Instant,
      isAlive: (Link) -> Bool
    ) -> Answer {
      switch phase {
      case .closed(let error): return .fail(error)
      case .connected(let link) where isAlive(link): return .use(link)
      case .resting(let until, let error, var queue) where now < until:
        guard isPatient else { return .fail(error) }
        guard queue.count < maximumWaiting else { return .full }
        let isFirst = queue.count == 0
        queue.add(token, waiter, isPatient: true)
        phase = .resting(until: until, error, queue)
        return isFirst ? .rest(until - now) : .wait
      case .resting(_, _, var queue):
        guard queue.count < maximumWaiting else { return .full }
        queue.add(token, waiter, isPatient: isPatient)
        phase = .dialling(queue)
        return .dial
      case .idle, .connected:
        guard maximumWaiting > 0 else { return .full }
        var queue = Queue()
        queue.add(token, waiter, isPatient: isPatient)
        phase = .dialling(queue)
        return .dial
      case .dialling(var queue):
        guard queue.count < maximumWaiting else { return .full }
        queue.add(token, waiter, isPatient: isPatient)
        phase = .dialling(queue)
        return .wait
      }
    }

    /// Notes that a wait is given up.
    ///
    /// - Returns: who waited, or nil if the answer has come already or the wait has not begun.
    mutating func withdraw(_ token: Token) -> Waiter? {
      switch phase {
      case .dialling(var queue):
        let waiter = queue.remove(token)
        phase = .dialling(queue)
        return waiter
      case .resting(let until, let error, var queue):
        let waiter = queue.remove(token)
        phase = .resting(until: until, error, queue)
        return waiter
      case .idle, .connected, .closed: return nil
      }
    }

    /// Takes a dial's outcome.
    ///
    /// - Parameter random: a number from 0 to 1, for the jitter.
    /// - Returns: those to tell, and how long to rest when somebody waits for the next dial; nil when
    ///   the client was closed meanwhile, and the connection has no use.
    mutating func dialled(
      _ outcome: Result<Link, RPCError>, now: ContinuousClock.Instant, random: Double
    ) -> (tell: [Waiter], rest: Duration?)? {
      guard case .dialling(var queue) = phase else { return nil }
      switch outcome {
      case .success(let link):
        phase = .connected(link)
        pause = backoff.first
        return (queue.all, nil)
      case .failure(let error):
        // Decorrelated jitter, as between the tries of one dial.
        let longest = max(backoff.first, min(backoff.most, pause * 3))
        pause = backoff.first + (longest - backoff.first) * random
        let hasty = Array(queue.hasty.values)
        queue.hasty = [:]
        phase = .resting(until: now + pause, error, queue)
        return (hasty, queue.count == 0 ? nil : pause)
      }
    }

    /// The rest is over.
    ///
    /// - Returns: whether to dial: somebody still waits, and nobody dials.
    mutating func rested() -> Bool {
      guard case .resting(_, _, let queue) = phase, queue.count > 0 else { return false }
      phase = .dialling(queue)
      return true
    }

    /// - Returns: what must be closed and those to tell; nil when it was closed before.
    mutating func close(_ error: RPCError) -> (Link?, [Waiter])? {
      let before = phase
      if case .closed = before { return nil }
      phase = .closed(error)
      switch before {
      case .dialling(let queue), .resting(_, _, let queue): return (nil, queue.all)
      case .connected(let link): return (link, [])
      case .idle, .closed: return (nil, [])
      }
    }

    var current: Link? {
      if case .connected(let link) = phase { return link }
      return nil
    }

    var waiting: Int {
      switch phase {
      case .dialling(let queue), .resting(_, _, let queue): queue.count
      case .idle, .connected, .closed: 0
      }
    }
  }
#endif
