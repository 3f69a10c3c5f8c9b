internal import ContainerdClient
internal import Synchronization

/// One sandbox's end, for any number of waiters, in this life of the controller.
final class EndPromise: Sendable {
  private struct State {
    var result: Result<SandboxExit, SandboxControlError>?
    var next: UInt64 = 0
    var waiters: [UInt64: CheckedContinuation<Result<SandboxExit, SandboxControlError>, Never>] =
      [:]
  }

  private let state = Mutex(State())

  /// The first one counts.
  func resolve(_ result: Result<SandboxExit, SandboxControlError>) {
    let waiters = state.withLock { state in
      if state.result == nil { state.result = result }
      defer { state.waiters = [:] }
      return state.waiters.values.map(\.self)
    }
    for waiter in waiters { waiter.resume(returning: result) }
  }

  /// - Throws: `cancelled`, and what it was resolved with.
  func wait() async throws(SandboxControlError) -> SandboxExit {
    let cancelled = Result<SandboxExit, SandboxControlError>.failure(
      SandboxControlError(code: .cancelled, message: "the wait was cancelled"))
    let key = state.withLock { state in
      state.next += 1
      return state.next
    }
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let result: Result<SandboxExit, SandboxControlError>? = state.withLock { state in
          if let result = state.result { return result }
          if Task.isCancelled { return cancelled }
          state.waiters[key] = continuation
          return nil
        }
        if let result { continuation.resume(returning: result) }
      }
    } onCancel: {
      let waiter = state.withLock { $0.waiters.removeValue(forKey: key) }
      waiter?.resume(returning: cancelled)
    }
    return try result.get()
  }
}
