internal import RPCCore

/// Lets so many through at once; the others wait in line.
///
/// It stands before the calls by which a shim makes containers. runc's shim of containerd 1.x makes
/// one after the other anyway, under locks for which its handling of ended processes has to queue as
/// well. With more than one caller in line, more processes end than that handles; from 32 unhandled
/// ones on the shim takes a second for each, in which nobody is answered (containerd 1.6,
/// `sys/reaper` and `runtime/v2/runc/task`): fifty creates at once and it is deaf for minutes.
actor CallGate {
  private struct Waiter {
    var number: UInt64
    var width: Int
    var continuation: CheckedContinuation<Bool, Never>
  }

  private var inside = 0
  private var waiters: [Waiter] = []
  private var numbers: UInt64 = 0

  /// Runs the body when it is its turn.
  ///
  /// - Parameter width: how many may be inside at once, this one included.
  /// - Throws: what the body throws; `.deadline` or `.cancelled` when the turn did not come in time
  ///   or the caller's task was cancelled: the body was not run then.
  func pass<Value: Sendable>(
    width: Int, within limit: Duration, _ body: @Sendable () async throws(RPCError) -> Value
  ) async throws(RPCError) -> Value {
    guard await enter(width: max(1, width), within: limit) else {
      if Task.isCancelled {
        throw RPCError(
          code: .cancelled, message: "cancelled before the call was made", reason: .cancelled)
      }
      throw RPCError(
        code: .deadlineExceeded,
        message: "the calls before it to the same shim took more than \(limit)", reason: .deadline)
    }
    defer { leave() }
    return try await body()
  }

  private func enter(width: Int, within limit: Duration) async -> Bool {
    if waiters.isEmpty && inside < width {
      inside += 1
      return true
    }
    numbers += 1
    let number = numbers
    let timer = Task { [weak self] in
      // Cancelled when the turn came: then there is nothing to give up.
      guard (try? await Task.sleep(for: limit)) != nil else { return }
      await self?.giveUp(number)
    }
    defer { timer.cancel() }
    return await withTaskCancellationHandler {
      await withCheckedContinuation {
        waiters.append(Waiter(number: number, width: width, continuation: $0))
      }
    } onCancel: {
      // It runs after the waiter is in line: this actor is left only then.
      Task { await self.giveUp(number) }
    }
  }

  private func leave() {
    inside -= 1
    admit()
  }

  private func admit() {
    while let next = waiters.first, inside < next.width {
      waiters.removeFirst()
      inside += 1
      next.continuation.resume(returning: true)
    }
  }

  private func giveUp(_ number: UInt64) {
    guard let index = waiters.firstIndex(where: { $0.number == number }) else { return }
    waiters.remove(at: index).continuation.resume(returning: false)
    admit()
  }
}
