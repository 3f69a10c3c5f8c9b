internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// A command on its way from spawn to captured output: what ``Command/run`` does, on the readiness
/// thread.
final class CommandRun: Sendable {
  /// How long the rest of the output is awaited once the child itself has ended. What it left in
  /// its pipes is there already; only a process that it left behind makes this wait matter.
  static let outputGrace = Duration.milliseconds(200)
  /// How long a killed child's end is awaited.
  static let killGrace = Duration.seconds(5)

  typealias Outcome = Result<CapturedOutput, ProcessError>

  private struct State {
    var machine = RunStateMachine(openOutputs: 2)
    var input: InputPipe?
    var outputs: [OutputPipe] = []
    var timer: TimerDescriptor?
    var outcome: Outcome?
    var continuation: CheckedContinuation<Outcome, Never>?
  }

  private let command: Command
  private let timeout: Duration
  private let started: ContinuousClock.Instant
  private let child: ChildProcess
  private let thread: ReadinessThread
  private let state = Mutex(State())

  private init(
    _ command: Command, timeout: Duration, started: ContinuousClock.Instant, child: ChildProcess,
    thread: ReadinessThread
  ) {
    self.command = command
    self.timeout = timeout
    self.started = started
    self.child = child
    self.thread = thread
  }

  static func start(
    _ command: Command, input: [UInt8], outputLimit: Int, timeout: Duration
  ) throws(ProcessError) -> CommandRun {
    let started = ContinuousClock.now
    let thread: ReadinessThread
    let descriptors: RunDescriptors
    do {
      thread = try .shared()
      descriptors = try RunDescriptors()
    } catch {
      throw command.failure(.init(error.errno), error)
    }
    var spawned = command
    if spawned.descriptors[0] == nil, !input.isEmpty {
      spawned.descriptors[0] = descriptors.input.reading.number
    }
    spawned.descriptors[1] = descriptors.output.writing.number
    spawned.descriptors[2] = descriptors.error.writing.number
    let child = try spawned.spawn()
    let run = CommandRun(
      command, timeout: timeout, started: started, child: child, thread: thread)
    try run.watch(
      input: descriptors.input.takeWriting(), bytes: input,
      outputs: descriptors.output.takeReading(), descriptors.error.takeReading(),
      limit: outputLimit, timer: descriptors.timer)
    // Last, since it may call back at once.
    _ = child.observe { run.childEnded($0) }
    return run
  }

  /// Waits for the end, for one caller.
  func outcome() async -> Outcome {
    await withCheckedContinuation { continuation in
      let outcome = state.withLock { state in
        if state.outcome == nil { state.continuation = continuation }
        return state.outcome
      }
      if let outcome { continuation.resume(returning: outcome) }
    }
  }

  func cancel() { advance { $0.machine.cancelled() } }

  private func watch(
    input: consuming OwnedDescriptor, bytes: [UInt8], outputs first: consuming OwnedDescriptor,
    _ second: consuming OwnedDescriptor, limit: Int, timer: consuming OwnedDescriptor
  ) throws(ProcessError) {
    // Handlers that are called before all is in place wait for the lock.
    var numbers = [input.release(), first.release(), second.release(), timer.release()]
    var watches: [ReadinessThread.Watch] = []
    do {
      try state.withLock { state throws(SystemError) in
        watches.append(try thread.add(numbers[0], for: .writable) { self.inputReady() })
        watches.append(try thread.add(numbers[1], for: .readable) { self.outputReady(0) })
        watches.append(try thread.add(numbers[2], for: .readable) { self.outputReady(1) })
        watches.append(try thread.add(numbers[3], for: .readable) { self.timerReady() })
        state.input = InputPipe(owning: numbers[0], bytes: bytes, watch: watches[0])
        state.outputs = [
          OutputPipe(owning: numbers[1], limit: limit, watch: watches[1]),
          OutputPipe(owning: numbers[2], limit: limit, watch: watches[2]),
        ]
        let timer = TimerDescriptor(owning: numbers[3], watch: watches[3])
        timer.set(timeout)
        state.timer = timer
        numbers = []
      }
    } catch {
      for watch in watches { thread.remove(watch) }
      for number in numbers { close(number) }
      kill()
      throw command.failure(.init(error.errno), error)
    }
  }

  private func inputReady() {
    state.withLock { $0.input?.writeWhatFits(thread) }
  }

  private func outputReady(_ index: Int) {
    advance { state in takeOutput(index, &state) }
  }

  private func timerReady() {
    advance { $0.timer?.hasFired() == true ? $0.machine.timerFired() : .none }
  }

  private func childEnded(_ outcome: ChildProcess.Outcome) {
    advance { state in
      state.input?.close(thread)
      // What the child printed last is in the pipes by now, and nothing of it may be missed.
      for index in state.outputs.indices { _ = takeOutput(index, &state) }
      return state.machine.childEnded(outcome)
    }
  }

  private func takeOutput(_ index: Int, _ state: inout State) -> RunStateMachine.Action {
    guard state.outputs.indices.contains(index), state.outputs[index].isOpen,
      state.outputs[index].takeWhatIsThere()
    else { return .none }
    state.outputs[index].close(thread)
    return state.machine.outputEnded()
  }

  /// One step of the machine. The descriptors are the run's own and do not block, so the lock is
  /// held for as long as they are looked at: only a cancellation could contend for it.
  private func advance(_ step: (inout State) -> RunStateMachine.Action) {
    let finished: (CheckedContinuation<Outcome, Never>, Outcome)? = state.withLock { state in
      switch step(&state) {
      case .none: return nil
      case .kill:
        state.timer?.set(Self.killGrace)
        kill()
        return nil
      case .awaitOutput:
        state.timer?.set(Self.outputGrace)
        return nil
      case .finish(let ending):
        let outcome = end(&state, ending)
        state.outcome = outcome
        defer { state.continuation = nil }
        return state.continuation.map { ($0, outcome) }
      }
    }
    if let (continuation, outcome) = finished { continuation.resume(returning: outcome) }
  }

  private func kill() {
    if command.grouping == .inherit {
      child.signal(SIGKILL)
    } else {
      child.signalGroup(SIGKILL)
    }
  }

  private func end(_ state: inout State, _ ending: RunStateMachine.Ending) -> Outcome {
    state.input?.close(thread)
    state.timer?.close(thread)
    for index in state.outputs.indices { state.outputs[index].close(thread) }
    let output = state.outputs[0].bytes
    let errors = state.outputs[1].bytes
    var failure: ProcessError
    switch ending {
    case .completed(let status):
      return .success(
        CapturedOutput(
          status: status, standardOutput: output, standardError: errors,
          truncated: state.outputs.contains { $0.truncated }, duration: .now - started))
    case .statusLost(let error): failure = error
    case .timedOut:
      failure = ProcessError(
        .timedOut,
        "\(command) did not end within \(timeout) and was killed; "
          + Self.excerpt("standard output", output) + ", " + Self.excerpt("standard error", errors))
    case .cancelled:
      failure = ProcessError(.cancelled, "\(command) was killed because its caller was cancelled")
    }
    failure.standardOutput = output
    failure.standardError = errors
    return .failure(failure)
  }

  /// The end of what was printed, where the reason of a hang tends to be.
  private static func excerpt(_ name: String, _ bytes: [UInt8]) -> String {
    if bytes.isEmpty { return "\(name) was empty" }
    let text = String(decoding: bytes.suffix(500), as: UTF8.self)
    return "\(name) ended with \(text.debugDescription)"
  }
}

extension Command {
  /// Runs the program to its end: gives it the input, and keeps what it prints.
  ///
  /// The result does not wait for what the program leaves behind: a process that still holds its
  /// output is given 0.2 s from the program's own end. Descriptors 1 and 2 of ``descriptors`` are
  /// replaced; a descriptor 0 given there is used in place of `input`.
  ///
  /// - Parameters:
  ///   - input: the program's standard input. It need not read it.
  ///   - outputLimit: how many bytes are kept of each of its two outputs. More is read and dropped.
  ///   - timeout: how long it may take. Then its process group is killed (with
  ///     ``Grouping/inherit``, it alone), as it is when the calling task is cancelled.
  /// - Throws: ``ProcessError``, among them `timedOut` with what was printed. A program that ends
  ///   with a failure is no error here.
  public func run(
    input: [UInt8] = [], outputLimit: Int = 1 << 20, timeout: Duration
  ) async throws(ProcessError) -> CapturedOutput {
    if Task.isCancelled {
      throw ProcessError(.cancelled, "\(self) was not started: its caller was cancelled")
    }
    let run = try CommandRun.start(
      self, input: input, outputLimit: max(0, outputLimit), timeout: timeout)
    return try await withTaskCancellationHandler {
      await run.outcome()
    } onCancel: {
      run.cancel()
    }.get()
  }
}
