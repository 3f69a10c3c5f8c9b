internal import Synchronization

/// One process's end, for any number of waiters.
final class ExitPromise: Sendable {
  private enum State {
    case pending(next: UInt64, waiters: [UInt64: CheckedContinuation<ProcessEnd?, any Error>])
    /// Nil: it never ran, and never will.
    case done(ProcessEnd?)
  }

  private let state = Mutex(State.pending(next: 0, waiters: [:]))

  /// - Throws: `CancellationError` when the calling task is cancelled first.
  func wait() async throws -> ProcessEnd? {
    let key = Mutex<UInt64?>(nil)
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let done: ProcessEnd?? = state.withLock { state in
          switch state {
          case .done(let exit): return .some(exit)
          case .pending(let next, var waiters):
            waiters[next] = continuation
            state = .pending(next: next + 1, waiters: waiters)
            key.withLock { $0 = next }
            return nil
          }
        }
        if let done {
          continuation.resume(returning: done)
        } else if Task.isCancelled {
          withdraw(key.withLock { $0 })
        }
      }
    } onCancel: {
      withdraw(key.withLock { $0 })
    }
  }

  func resolve(_ exit: ProcessEnd?) {
    let waiters = state.withLock { state in
      guard case .pending(_, let waiters) = state else {
        return [UInt64: CheckedContinuation<ProcessEnd?, any Error>]()
      }
      state = .done(exit)
      return waiters
    }
    for waiter in waiters.values { waiter.resume(returning: exit) }
  }

  private func withdraw(_ key: UInt64?) {
    guard let key else { return }
    let waiter = state.withLock { state in
      guard case .pending(let next, var waiters) = state else {
        return CheckedContinuation<ProcessEnd?, any Error>?.none
      }
      let waiter = waiters.removeValue(forKey: key)
      state = .pending(next: next, waiters: waiters)
      return waiter
    }
    waiter?.resume(throwing: CancellationError())
  }
}
