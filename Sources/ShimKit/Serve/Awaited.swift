internal import Synchronization

/// A value that comes once, such as how a process ended; any number of tasks wait for it, before and
/// after.
public final class Awaited<Value: Sendable>: Sendable {
  private struct State {
    var value: Value?
    var waiters: [Int: CheckedContinuation<Value?, Never>] = [:]
    var lastKey = 0
  }

  private let state = Mutex(State())

  public init() {}

  /// The value if it is there.
  public var current: Value? { state.withLock { $0.value } }

  /// Sets the value. One that is there already stays.
  public func set(_ value: Value) {
    let waiters = state.withLock { state in
      guard state.value == nil else { return [CheckedContinuation<Value?, Never>]() }
      state.value = value
      defer { state.waiters = [:] }
      return Array(state.waiters.values)
    }
    for waiter in waiters { waiter.resume(returning: value) }
  }

  /// Waits for the value.
  ///
  /// - Throws: `CancellationError` when the calling task is cancelled, as that of a call whose
  ///   connection is lost.
  public func get() async throws -> Value {
    let key = state.withLock { state in
      state.lastKey += 1
      return state.lastKey
    }
    let value = await withTaskCancellationHandler {
      await withCheckedContinuation { waiter in
        let (isNow, value) = state.withLock { state in
          if state.value == nil, !Task.isCancelled { state.waiters[key] = waiter }
          return (state.waiters[key] == nil, state.value)
        }
        if isNow { waiter.resume(returning: value) }
      }
    } onCancel: {
      // One that has not begun to wait sees the cancellation itself.
      let waiter = state.withLock { $0.waiters.removeValue(forKey: key) }
      waiter?.resume(returning: nil)
    }
    guard let value else { throw CancellationError() }
    return value
  }
}
