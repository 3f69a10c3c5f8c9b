internal import Glibc
internal import LinuxSystem
internal import Synchronization

extension ChildProcess {
  /// Waits for the process to end, for as long as the limit says. It costs no task: the end and the
  /// limit come from one thread, which resumes the caller.
  ///
  /// Cancelling the calling task ends the wait, not the process.
  /// - Returns: nil when it runs on.
  /// - Throws: `statusLost`, `cancelled`; `resourcesExhausted` or `systemFailure` when there can be no
  ///   timer.
  public func wait(within limit: Duration) async throws(ProcessError) -> ExitStatus? {
    let wait = BoundedWait()
    do {
      try wait.begin(self, limit)
    } catch {
      throw ProcessError(
        .init(error.errno), "Cannot wait for process \(pid) with a limit", cause: error)
    }
    let outcome = await withTaskCancellationHandler {
      await wait.outcome()
    } onCancel: {
      wait.end(
        .failure(
          ProcessError(.cancelled, "Waiting for process \(pid) was cancelled; it runs on.")))
    }
    return try outcome?.get()
  }
}

/// One wait: the first of the end, the limit and the cancellation counts.
private final class BoundedWait: Sendable {
  private struct State {
    var timer: TimerDescriptor?
    var thread: ReadinessThread?
    var waiter: CheckedContinuation<ChildProcess.Outcome?, Never>?
    /// Nil: not yet. An outcome of nil: the limit.
    var outcome: ChildProcess.Outcome??
  }

  private let state = Mutex(State())

  func begin(_ child: ChildProcess, _ limit: Duration) throws(SystemError) {
    let thread = try ReadinessThread.shared()
    let number = try TimerDescriptor.make().release()
    // Under the lock, so that a limit of nothing waits for the timer to be in its place.
    try state.withLock { state throws(SystemError) in
      do throws(SystemError) {
        let watch = try thread.add(number, for: .readable) { self.end(nil) }
        let timer = TimerDescriptor(owning: number, watch: watch)
        timer.set(limit)
        (state.timer, state.thread) = (timer, thread)
      } catch {
        close(number)
        throw error
      }
    }
    // Withdrawn never: a wait that is over does not heed it.
    _ = child.observe { self.end(.some($0)) }
  }

  func outcome() async -> ChildProcess.Outcome? {
    await withCheckedContinuation { waiter in
      let outcome: ChildProcess.Outcome?? = state.withLock { state in
        if state.outcome == nil { state.waiter = waiter }
        return state.outcome
      }
      if let outcome { waiter.resume(returning: outcome) }
    }
  }

  func end(_ outcome: ChildProcess.Outcome?) {
    let waiter = state.withLock { state -> CheckedContinuation<ChildProcess.Outcome?, Never>? in
      guard state.outcome == nil else { return nil }
      state.outcome = .some(outcome)
      if let thread = state.thread { state.timer?.close(thread) }
      (state.timer, state.thread) = (nil, nil)
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume(returning: outcome)
  }
}
