#if canImport(Glibc)
  internal import Glibc
#endif

/// Makes tries until one succeeds, one fails for good, or the time is up: what connecting and waiting
/// for readiness have in common.
struct RetryLoop {
  let address: TransportAddress
  let options: ConnectOptions
  let report: ConnectReport

  init(_ address: TransportAddress, _ options: ConnectOptions) {
    self.address = address
    self.options = options
    self.report = ConnectReport(address, options)
  }

  /// - Parameter attempt: one try, given its number. It ends soon after its task is cancelled.
  /// - Returns: what the try gave, and how many tries there were.
  func run<Value: Sendable>(
    _ attempt: @escaping @Sendable (Int) async throws(AttemptFailure) -> Value
  ) async throws(TransportError) -> (value: Value, attempts: Int) {
    let clock = ContinuousClock()
    let start = clock.now
    var machine = ConnectStateMachine(options)
    var log = AttemptLog()
    var action = machine.next(now: .zero)
    while true {
      switch action {
      case .attempt(let limit):
        let number = log.count + 1
        report.started(number)
        let began = clock.now
        let failure: AttemptFailure
        switch await Self.limited(
          limit,
          { () async throws(AttemptFailure) in
            try await attempt(number)
          })
        {
        case .success(let value): return (value, number)
        case .failure(let reason): failure = reason
        }
        let (now, isCancelled) = (clock.now, Task.isCancelled)
        log.append(
          failure, took: now - began,
          isCutShort: failure.isOverLimit && limit < options.tryLimit)
        report.failed(failure, number: number, after: now - began, isCancelled: isCancelled)
        guard !isCancelled else { throw gaveUp(.cancelled, log) }
        guard !failure.isRefusal else { throw gaveUp(.refusedByPolicy, log) }
        action = machine.failed(failure.outlook, now: now - start, random: .random(in: 0...1))
      case .pause(let pause):
        do {
          try await clock.sleep(for: pause)
        } catch {
          throw gaveUp(.cancelled, log)
        }
        action = machine.next(now: clock.now - start)
      case .giveUp(let code):
        throw gaveUp(code, log)
      }
    }
  }

  private func gaveUp(_ code: TransportError.Code, _ log: AttemptLog) -> TransportError {
    let error = TransportError(connectingTo: address, log, code: code)
    report.gaveUp(error, attempts: log.count)
    return error
  }

  /// One try, ended when its time is up. It begins at once, on this thread.
  private static func limited<Value: Sendable>(
    _ limit: Duration, _ attempt: @escaping @Sendable () async throws(AttemptFailure) -> Value
  ) async -> Result<Value, AttemptFailure> {
    let task = Task.immediate { () async -> Result<Value, AttemptFailure> in
      do throws(AttemptFailure) {
        return .success(try await attempt())
      } catch {
        return .failure(error)
      }
    }
    let timeLimit = TimeLimits.shared.begin(limit) { task.cancel() }
    let result = await withTaskCancellationHandler {
      await task.value
    } onCancel: {
      task.cancel()
    }
    let isOver = TimeLimits.shared.end(timeLimit)
    guard isOver, !Task.isCancelled, case .failure(let failure) = result else { return result }
    return .failure(failure.afterLimit(limit))
  }
}

extension AttemptFailure {
  /// A try that was cancelled because its time was up. One that failed by itself at that moment
  /// has its own reason.
  fileprivate func afterLimit(_ limit: Duration) -> AttemptFailure {
    guard errno == ECANCELED else { return self }
    return AttemptFailure(
      phase: phase, errno: ETIMEDOUT, message: "not through within \(limit.short)",
      outlook: .notReady, hint: hint, cause: TryLimitReached())
  }

  fileprivate var isOverLimit: Bool { cause is TryLimitReached }
}

/// Marks a failure that is no more than the end of a try's time.
private struct TryLimitReached: Error {}

extension TransportError {
  fileprivate init(connectingTo address: TransportAddress, _ log: AttemptLog, code: Code) {
    guard code != .cancelled else {
      self.init(
        code: code, message: "connecting to \(address) was cancelled", attempts: log.attempts)
      return
    }
    let failure = log.decisive
    let what =
      code == .timedOut ? "no connection to \(address) in time" : "cannot connect to \(address)"
    self.init(
      code: code, message: what + (failure.map { ": " + $0.message } ?? ""), hint: failure?.hint,
      attempts: log.attempts, cause: failure?.cause)
  }
}
