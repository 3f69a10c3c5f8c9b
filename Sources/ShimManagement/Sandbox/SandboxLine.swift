internal import Synchronization

/// The connection that a sandbox is reached by, which is another one after a loss, and who waits to
/// know whether there is another one.
final class SandboxLine: Sendable {
  private struct State {
    var lease: ShimConnections.Lease
    /// There will be no other one.
    var hasEnded = false
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var next: UInt64 = 0
  }

  private let state: Mutex<State>

  init(_ lease: ShimConnections.Lease) { state = Mutex(State(lease: lease)) }

  var lease: ShimConnections.Lease { state.withLock { $0.lease } }

  func relink(_ lease: ShimConnections.Lease) { change { $0.lease = lease } }

  func end() { change { $0.hasEnded = true } }

  private func change(_ body: (inout State) -> Void) {
    let waiters = state.withLock { state in
      body(&state)
      defer { state.waiters = [:] }
      return Array(state.waiters.values)
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Waits until there is another connection than this one, which is lost.
  ///
  /// - Returns: `false` when there will be none, or the task was cancelled.
  func hasOther(than lost: ShimConnections.ID) async -> Bool {
    let key = state.withLock { state in
      state.next += 1
      return state.next
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isKnown = state.withLock { state in
          guard state.lease.id == lost, !state.hasEnded, !Task.isCancelled else { return true }
          state.waiters[key] = continuation
          return false
        }
        if isKnown { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiters.removeValue(forKey: key) }?.resume()
    }
    return state.withLock { $0.lease.id != lost && !$0.hasEnded } && !Task.isCancelled
  }
}
