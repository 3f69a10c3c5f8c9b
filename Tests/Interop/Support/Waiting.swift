import Synchronization
import Testing

/// A value behind a lock, for tests' closures.
final class Guarded<Value: Sendable>: Sendable {
  private let stored: Mutex<Value>

  init(_ value: Value) { stored = Mutex(value) }

  var value: Value { stored.withLock { $0 } }
  func set(_ value: Value) { stored.withLock { $0 = value } }
  func update(_ body: @Sendable (inout Value) -> Void) { stored.withLock { body(&$0) } }
}

struct NeverHappened: Error, CustomStringConvertible {
  var what: String
  var description: String { "\(what) did not happen within the limit" }
}

/// Waits for a condition, looking again and again. The limit is only against hangs.
func eventually(
  _ what: String, within limit: Duration = .seconds(30), _ condition: () async throws -> Bool
) async throws {
  let deadline = ContinuousClock.now + limit
  while try await !condition() {
    guard ContinuousClock.now < deadline else { throw NeverHappened(what: what) }
    try await Task.sleep(for: .milliseconds(10))
  }
}

/// Gives what the body returns, or throws when it takes longer than the limit: for what must come at
/// once, and would hang a broken program.
func within<Result: Sendable>(
  _ limit: Duration, _ what: String, _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
  try await withThrowingTaskGroup(of: Result.self) { group in
    group.addTask(operation: body)
    group.addTask {
      try await Task.sleep(for: limit)
      throw NeverHappened(what: what)
    }
    defer { group.cancelAll() }
    // Two were added, so there is a first.
    guard let first = try await group.next() else { throw NeverHappened(what: what) }
    return first
  }
}
