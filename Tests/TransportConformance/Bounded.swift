internal import Synchronization

/// Waits for `operation`, but not longer than `limit`.
///
/// Structured concurrency cannot give this: it would wait for an operation that ignores its
/// cancellation, which is just what a broken transport may do. Such an operation is left behind.
func bounded<Value: Sendable>(
  _ limit: Duration, _ what: String, _ operation: @escaping @Sendable () async throws -> Value
) async throws -> Value {
  let race = Race<Value>()
  return try await withTaskCancellationHandler {
    try await withCheckedThrowingContinuation { continuation in
      race.begin(continuation)
      race.run(
        Task {
          do {
            race.end(.success(try await operation()))
          } catch {
            race.end(.failure(Broken("\(what): \(error)")))
          }
        })
      race.run(
        Task {
          // Cancelled when the operation was faster.
          try? await Task.sleep(for: limit)
          race.end(.failure(Broken("waited \(limit) in vain for \(what)")))
        })
    }
  } onCancel: {
    race.end(.failure(CancellationError()))
  }
}

/// A continuation that is resumed by whoever is first.
private final class Race<Value: Sendable>: Sendable {
  private struct State {
    var continuation: CheckedContinuation<Value, any Error>?
    var tasks: [Task<Void, Never>] = []
    var result: Result<Value, any Error>?
  }

  private let state = Mutex(State())

  func begin(_ continuation: CheckedContinuation<Value, any Error>) {
    let result = state.withLock { state in
      if state.result == nil { state.continuation = continuation }
      return state.result
    }
    if let result { continuation.resume(with: result) }
  }

  func run(_ task: Task<Void, Never>) {
    let isOver = state.withLock { state in
      state.tasks.append(task)
      return state.result != nil
    }
    if isOver { task.cancel() }
  }

  func end(_ result: Result<Value, any Error>) {
    let (continuation, tasks) = state.withLock { state in
      guard state.result == nil else {
        return (CheckedContinuation<Value, any Error>?.none, [Task<Void, Never>]())
      }
      state.result = result
      defer { state.continuation = nil }
      return (state.continuation, state.tasks)
    }
    continuation?.resume(with: result)
    for task in tasks { task.cancel() }
  }
}
