internal import Synchronization

/// Runs `body`, and waits for it as long as the limit says. Nil when it did not end in time: it is
/// cancelled then, and left to itself.
package func withLimit<Value: Sendable>(
  _ limit: Duration, _ body: @escaping @Sendable () async throws -> Value
) async -> Result<Value, any Error>? {
  let race = Race<Result<Value, any Error>?>()
  return await withCheckedContinuation { continuation in
    race.begin(continuation)
    let work = Task {
      do {
        race.end(.success(try await body()))
      } catch {
        race.end(.failure(error))
      }
    }
    Task {
      // Nobody cancels this task.
      try? await Task.sleep(for: limit)
      work.cancel()
      race.end(nil)
    }
  }
}

/// Whoever ends first resumes the waiter.
private final class Race<Value: Sendable>: Sendable {
  private let waiter = Mutex<CheckedContinuation<Value, Never>?>(nil)

  func begin(_ continuation: CheckedContinuation<Value, Never>) {
    waiter.withLock { $0 = continuation }
  }

  func end(_ value: Value) {
    let waiter = waiter.withLock { waiter in
      defer { waiter = nil }
      return waiter
    }
    waiter?.resume(returning: value)
  }
}
