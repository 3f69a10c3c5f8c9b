internal import Synchronization

/// Has the operations on one sandbox done one after the other, in the order in which they came.
///
/// An operation that has begun is done to its end, also when its caller has gone: half of it would be
/// worse than either end.
final class OperationGate: Sendable {
  private struct State {
    var isHeld = false
    var next: UInt64 = 0
    var waiters: [(key: UInt64, continuation: CheckedContinuation<Bool, Never>)] = []
  }

  private let state = Mutex(State())

  /// Runs the body when it is its turn.
  ///
  /// - Throws: `cancelled` when the caller has gone before its turn came; what the body throws.
  func run<Value: Sendable>(
    _ body: @escaping @Sendable () async throws(SandboxControlError) -> Value
  ) async throws(SandboxControlError) -> Value {
    guard await enter() else {
      throw SandboxControlError(
        code: .cancelled, message: "the call was cancelled while it waited for another one")
    }
    let work = Task.detached { () async -> Result<Value, SandboxControlError> in
      defer { self.leave() }
      do throws(SandboxControlError) { return .success(try await body()) } catch {
        return .failure(error)
      }
    }
    return try await work.value.get()
  }

  private func enter() async -> Bool {
    let key = state.withLock { state in
      state.next += 1
      return state.next
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let entered: Bool? = state.withLock { state in
          if Task.isCancelled { return false }
          guard state.isHeld else {
            state.isHeld = true
            return true
          }
          state.waiters.append((key, continuation))
          return nil
        }
        if let entered { continuation.resume(returning: entered) }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        state.waiters.firstIndex { $0.key == key }.map { state.waiters.remove(at: $0) }
      }
      waiter?.continuation.resume(returning: false)
    }
  }

  private func leave() {
    let next = state.withLock { state in
      guard !state.waiters.isEmpty else {
        state.isHeld = false
        return CheckedContinuation<Bool, Never>?.none
      }
      return state.waiters.removeFirst().continuation
    }
    next?.resume(returning: true)
  }
}
