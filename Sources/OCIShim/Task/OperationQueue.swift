internal import Synchronization

/// Runs the operations of one container one behind the other, in the order in which they came.
///
/// Those that only look at a container do not come here: a runtime that hangs holds up nothing but
/// the operations that need it.
final class OperationQueue: Sendable {
  private struct State {
    var isBusy = false
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  /// How many are under way: one that runs, and those that wait behind it.
  var pending: Int { state.withLock { $0.isBusy ? 1 + $0.waiting.count : 0 } }

  func run<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
    await enter()
    defer { leave() }
    return try await body()
  }

  private func enter() async {
    await withCheckedContinuation { continuation in
      let isFirst = state.withLock { state in
        if state.isBusy {
          state.waiting.append(continuation)
          return false
        }
        state.isBusy = true
        return true
      }
      if isFirst { continuation.resume() }
    }
  }

  private func leave() {
    let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
      guard !state.waiting.isEmpty else {
        state.isBusy = false
        return nil
      }
      return state.waiting.removeFirst()
    }
    next?.resume()
  }
}
