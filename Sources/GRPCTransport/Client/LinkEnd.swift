#if GRPC
  internal import RPCCore
  internal import Synchronization

  /// The end of a connection: it comes when the connection has gone and the last of its calls has
  /// failed; once, runs one action and wakes who waits for it.
  final class LinkEnd: Sendable {
    private struct State {
      var calls = 0
      var lastID: UInt64 = 0
      /// How the connection ended, once it has; nil within: by this side.
      var ending: RPCError??
      var isTold = false
      /// Whether there is somebody to tell. A connection that fails before it is handed over has its
      /// error thrown instead.
      var isAdopted = false
      var action: (@Sendable (RPCError?) -> Void)?
      var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    /// Sets what to run at the end; runs it if that has come.
    func adopt(_ action: (@Sendable (RPCError?) -> Void)?) {
      state.withLock { state in
        state.action = action
        state.isAdopted = true
      }
      tellIfDue()
    }

    /// How many calls are under way.
    var calls: Int { state.withLock { $0.calls } }

    func callBegins() { state.withLock { $0.calls += 1 } }

    func callEnds() {
      state.withLock { $0.calls -= 1 }
      tellIfDue()
    }

    func connectionEnded(_ error: RPCError?) {
      state.withLock { state in
        if state.ending == nil { state.ending = .some(error) }
      }
      tellIfDue()
    }

    private func tellIfDue() {
      let due = state.withLock { state -> (@Sendable () -> Void)? in
        guard let ending = state.ending, state.isAdopted, state.calls == 0, !state.isTold else {
          return nil
        }
        state.isTold = true
        let action = state.action
        let waiters = state.waiters.values
        state.action = nil
        state.waiters = [:]
        return {
          action?(ending)
          for waiter in waiters { waiter.resume() }
        }
      }
      due?()
    }

    /// Returns early when the task is cancelled.
    func wait() async {
      let id = state.withLock { state in
        state.lastID += 1
        return state.lastID
      }
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let isOver = state.withLock { state in
            if state.isTold { return true }
            state.waiters[id] = continuation
            return false
          }
          if isOver { return continuation.resume() }
          if Task.isCancelled { withdraw(id) }
        }
      } onCancel: {
        withdraw(id)
      }
    }

    private func withdraw(_ id: UInt64) {
      state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
    }
  }
#endif
