internal import Synchronization

/// Runs the body, and does not wait longer than this for it: also a body that does not heed its
/// cancellation is left behind then.
func withLimit<Value: Sendable>(
  _ limit: Duration, _ what: @autoclosure () -> String,
  _ body: @escaping @Sendable () async throws(SandboxControlError) -> Value
) async throws(SandboxControlError) -> Value {
  let race = Race<Result<Value, SandboxControlError>>()
  let work = Task {
    do throws(SandboxControlError) { race.end(.success(try await body())) } catch {
      race.end(.failure(error))
    }
  }
  let clock = Task {
    do { try await Task.sleep(for: limit) } catch { return }
    race.end(nil)
  }
  let result = await withTaskCancellationHandler {
    await race.value()
  } onCancel: {
    work.cancel()
  }
  clock.cancel()
  guard let result else {
    work.cancel()
    throw SandboxControlError(code: .timedOut, message: "\(what()) took longer than \(limit)")
  }
  return try result.get()
}

/// The first of several ends; nil is that of the clock.
private final class Race<Value: Sendable>: Sendable {
  private enum State {
    case open(CheckedContinuation<Value?, Never>?)
    case ended(Value?)
  }

  private let state = Mutex(State.open(nil))

  func end(_ value: Value?) {
    let waiter = state.withLock { state -> CheckedContinuation<Value?, Never>? in
      guard case .open(let waiter) = state else { return nil }
      state = .ended(value)
      return waiter
    }
    waiter?.resume(returning: value)
  }

  func value() async -> Value? {
    await withCheckedContinuation { continuation in
      let ended: Value?? = state.withLock { state in
        if case .ended(let value) = state { return .some(value) }
        state = .open(continuation)
        return nil
      }
      if let ended { continuation.resume(returning: ended) }
    }
  }
}
