/// How a run of a command comes to its end: exit, output, deadline, cancellation, in any order.
///
/// No I/O is done here; ``CommandRun`` carries the actions out.
struct RunStateMachine {
  enum Ending {
    case completed(ExitStatus)
    case statusLost(ProcessError)
    case timedOut
    case cancelled
  }

  enum Action {
    case none
    /// Kill the child and its group, and wait a while for its end.
    case kill
    /// Wait a while for the rest of the output.
    case awaitOutput
    case finish(Ending)
  }

  private enum Phase {
    case running
    /// The child has ended; its output has not.
    case draining(Ending)
    /// The child has been killed and its end is awaited.
    case killing(Ending)
    case finished
  }

  private var phase = Phase.running
  private var openOutputs: Int

  init(openOutputs: Int) { self.openOutputs = openOutputs }

  mutating func childEnded(_ outcome: Result<ExitStatus, ProcessError>) -> Action {
    switch phase {
    case .running:
      let ending: Ending
      switch outcome {
      case .success(let status): ending = .completed(status)
      case .failure(let error): ending = .statusLost(error)
      }
      if openOutputs == 0 { return finish(ending) }
      phase = .draining(ending)
      return .awaitOutput
    case .killing(let ending): return finish(ending)
    case .draining, .finished: return .none
    }
  }

  mutating func outputEnded() -> Action {
    openOutputs -= 1
    if case .draining(let ending) = phase, openOutputs == 0 { return finish(ending) }
    return .none
  }

  /// The timer: the run's deadline at first, then that of what it waits for.
  mutating func timerFired() -> Action {
    switch phase {
    case .running: return kill(.timedOut)
    // Something that the child left behind holds the pipe. That is not the child's output.
    case .draining(let ending): return finish(ending)
    // Not even SIGKILL ends it: it hangs in the kernel. It will be reaped when it does end.
    case .killing(let ending): return finish(ending)
    case .finished: return .none
    }
  }

  mutating func cancelled() -> Action {
    if case .running = phase { return kill(.cancelled) }
    return .none
  }

  private mutating func kill(_ ending: Ending) -> Action {
    phase = .killing(ending)
    return .kill
  }

  private mutating func finish(_ ending: Ending) -> Action {
    phase = .finished
    return .finish(ending)
  }
}
