public import NIOCore

#if canImport(Glibc)
  internal import Glibc
#endif

extension Connector {
  /// Connects: tries once or until the peer is ready, as `options` say.
  ///
  /// Every try is ended when it takes longer than ``ConnectOptions/tryLimit``, all of them together
  /// when they take longer than ``ConnectOptions/timeout``, and at once when the calling task is
  /// cancelled. With ``ConnectOptions/Mode/waitUntilReady(_:)`` a try that failed because the peer
  /// was not there or this side lacked something is made again; one that must fail again is not.
  ///
  /// - Parameter configure: adds the protocol's handlers, on the channel's event loop, before a byte
  ///   can have been read. It may run once a try.
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/connectFailed``,
  ///   ``TransportError/Code-swift.enum/timedOut``, ``TransportError/Code-swift.enum/cancelled`` or
  ///   ``TransportError/Code-swift.enum/refusedByPolicy``, and all tries in
  ///   ``TransportError/attempts``.
  public func connect(
    to address: TransportAddress, options: ConnectOptions = ConnectOptions(),
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(TransportError) -> Connection {
    let clock = ContinuousClock()
    let start = clock.now
    var machine = ConnectStateMachine(options)
    var log = AttemptLog()
    var action = machine.next(now: .zero)
    while true {
      switch action {
      case .attempt(let limit):
        let began = clock.now
        switch await attempt(address, options, limit: limit, configure: configure) {
        case .success(let connection): return connection
        case .failure(let failure):
          log.append(failure, took: clock.now - began)
          guard !Task.isCancelled else { throw .cancelled(address, log) }
          if let refusal = failure.cause as? TransportError, refusal.code == .refusedByPolicy {
            throw .connect(address, log, code: .refusedByPolicy)
          }
          action = machine.failed(
            failure.outlook, now: clock.now - start, random: .random(in: 0...1))
        }
      case .pause(let pause):
        do {
          try await clock.sleep(for: pause)
        } catch {
          throw .cancelled(address, log)
        }
        action = machine.next(now: clock.now - start)
      case .giveUp(let code):
        throw .connect(address, log, code: code)
      }
    }
  }

  /// One try, ended when its time is up.
  private func attempt(
    _ address: TransportAddress, _ options: ConnectOptions, limit: Duration,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async -> Result<Connection, AttemptFailure> {
    await withTaskGroup(of: Result<Connection, AttemptFailure>?.self) { group in
      group.addTask {
        do throws(AttemptFailure) {
          return .success(try await attempt(address, options: options, configure: configure))
        } catch {
          return .failure(error)
        }
      }
      group.addTask {
        // Cancelled when the try is over: then there is nothing to time.
        try? await Task.sleep(for: min(limit, .seconds(1_000_000_000)))
        return nil
      }
      var timedOut = false
      for await result in group {
        guard let result else {
          timedOut = !Task.isCancelled
          group.cancelAll()
          continue
        }
        group.cancelAll()
        guard timedOut, case .failure(let failure) = result else { return result }
        return .failure(failure.afterLimit(limit))
      }
      // Not reached: the first child always gives a result. An error is better than a trap.
      return .failure(.cancelled(during: .connect))
    }
  }
}

extension AttemptFailure {
  /// What a try throws when its task was cancelled, saying where it was.
  public static func cancelled(during phase: ConnectPhase) -> AttemptFailure {
    AttemptFailure(phase: phase, errno: ECANCELED, message: "cancelled", outlook: .notReady)
  }

  /// A try that was cancelled because its time was up. One that failed by itself at that moment
  /// has its own reason.
  fileprivate func afterLimit(_ limit: Duration) -> AttemptFailure {
    guard errno == ECANCELED else { return self }
    return AttemptFailure(
      phase: phase, errno: ETIMEDOUT, message: "not through within \(limit.short)",
      outlook: .notReady, hint: hint)
  }

  /// What a try throws when the peer is not one that may be talked to.
  public static func refused(_ peer: PeerIdentity, by policy: PeerPolicy) -> AttemptFailure {
    let message = "the peer (\(peer)) is not allowed by the policy \"\(policy.name)\""
    return AttemptFailure(
      phase: .identity, message: message, outlook: .fatal,
      cause: TransportError(code: .refusedByPolicy, message: message))
  }
}

extension TransportError {
  fileprivate static func cancelled(_ address: TransportAddress, _ log: AttemptLog) -> Self {
    TransportError(
      code: .cancelled, message: "connecting to \(address) was cancelled", attempts: log.attempts)
  }

  fileprivate static func connect(
    _ address: TransportAddress, _ log: AttemptLog, code: Code
  ) -> Self {
    let last = log.attempts.last?.failure
    let why = last.map { ": " + $0.message } ?? ""
    let what =
      code == .timedOut ? "no connection to \(address) in time" : "cannot connect to \(address)"
    return TransportError(
      code: code, message: what + why, hint: last.flatMap { $0.hint }, attempts: log.attempts,
      cause: last?.cause)
  }
}
