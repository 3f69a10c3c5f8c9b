import RPCCore

/// The end of a client's connection: it comes once, runs one action and wakes who waits for it.
struct ClientClosure {
  /// Tells one wait from another.
  final class Token: Sendable, Hashable {
    static func == (one: Token, other: Token) -> Bool { one === other }
    func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
  }

  private enum Phase {
    case open
    /// It has ended, but the client that has the action does not exist yet.
    case pending(RPCError?)
    case told
  }

  private var phase = Phase.open
  private var isAdopted = false
  private var action: (@Sendable (RPCError?) -> Void)?
  private var waiters: [Token: CheckedContinuation<Void, Never>] = [:]
  /// Waits that were cancelled before they began.
  private var cancelled: Set<Token> = []

  /// Sets what to run at the end; runs it if that has come.
  mutating func setAction(_ action: (@Sendable (RPCError?) -> Void)?) {
    isAdopted = true
    self.action = action
    if case .pending(let error) = phase { tell(error) }
  }

  mutating func happened(_ error: RPCError?) {
    guard case .open = phase else { return }
    if isAdopted { tell(error) } else { phase = .pending(error) }
  }

  mutating func wait(_ token: Token, _ continuation: CheckedContinuation<Void, Never>) {
    if case .told = phase { return continuation.resume() }
    if cancelled.remove(token) != nil { return continuation.resume() }
    waiters[token] = continuation
  }

  mutating func stopWaiting(_ token: Token) {
    if let continuation = waiters.removeValue(forKey: token) { return continuation.resume() }
    if case .told = phase { return }
    cancelled.insert(token)
  }

  private mutating func tell(_ error: RPCError?) {
    phase = .told
    let action = self.action
    self.action = nil
    action?(error)
    for waiter in waiters.values { waiter.resume() }
    waiters = [:]
    cancelled = []
  }
}
