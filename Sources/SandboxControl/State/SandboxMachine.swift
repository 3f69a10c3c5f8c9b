internal import ContainerdClient

/// The states of one sandbox, and what may be done in each. It does nothing itself.
struct SandboxMachine: Hashable, Sendable {
  enum State: String, Hashable, Sendable, CaseIterable {
    /// Its driver makes it.
    case creating
    /// It is there, and runs nothing.
    case created
    case starting
    case running
    /// It was told to end.
    case stopping
    case stopped
    /// It was there, and now cannot be reached; nor is it proven that it ended.
    case unknown
  }

  /// Why something cannot be done.
  struct Refusal: Error, Hashable, Sendable {
    var reason: String
  }

  enum StartStep: Hashable, Sendable {
    case start
    /// It runs: an earlier call did it, whose answer may have been lost.
    case isRunning(SandboxInstance)
  }

  enum StopStep: Hashable, Sendable {
    case stop
    case isStopped
  }

  private(set) var state: State
  private(set) var instance: SandboxInstance?
  private(set) var exit: SandboxExit?
  /// Where it goes back to when a stop fails, or when it is found again.
  private var before: State?

  init() { state = .creating }

  /// As a record has it.
  init(recorded state: State, instance: SandboxInstance?, exit: SandboxExit?) {
    self.state = state
    self.instance = instance
    self.exit = exit
  }

  mutating func created() { if state == .creating { state = .created } }

  mutating func start() throws(Refusal) -> StartStep {
    switch state {
    case .created:
      state = .starting
      return .start
    case .running:
      if let instance { return .isRunning(instance) }
      throw Refusal(reason: "it runs, and where is not known")
    case .creating: throw Refusal(reason: "it is still being created")
    case .starting: throw Refusal(reason: "it is being started")
    case .stopping: throw Refusal(reason: "it is being stopped")
    case .stopped: throw Refusal(reason: "it has ended, and cannot be started again")
    case .unknown: throw Refusal(reason: "it cannot be reached")
    }
  }

  mutating func started(_ instance: SandboxInstance) {
    self.instance = instance
    if state == .starting { state = .running }
  }

  mutating func stop() throws(Refusal) -> StopStep {
    switch state {
    case .stopped: return .isStopped
    case .stopping: return .stop
    case .created, .running, .unknown:
      before = state
      state = .stopping
      return .stop
    case .creating: throw Refusal(reason: "it is still being created")
    case .starting: throw Refusal(reason: "it is being started")
    }
  }

  /// It goes on as it was.
  mutating func stopFailed() {
    guard state == .stopping else { return }
    state = before ?? .running
    before = nil
  }

  /// It ended, whatever it was asked. The first end counts.
  ///
  /// - Returns: whether this is it.
  @discardableResult
  mutating func ended(_ exit: SandboxExit) -> Bool {
    guard self.exit == nil else { return false }
    self.exit = exit
    state = .stopped
    return true
  }

  /// It cannot be reached any more.
  mutating func lost() {
    guard state == .created || state == .running else { return }
    before = state
    state = .unknown
  }

  /// It was lost, and is there.
  mutating func found() {
    guard state == .unknown else { return }
    state = before ?? (instance == nil ? .created : .running)
    before = nil
  }

  /// What of it belongs on the disk: what is under way is done again, or undone, by whoever comes next.
  var recordedState: State {
    switch state {
    case .stopping, .unknown: before ?? (instance == nil ? .created : .running)
    default: state
    }
  }

  /// As CRI has it in Status. What it does not know is "not ready" to it in a pod's status, and
  /// "unknown" after its own restart.
  var reported: String {
    switch state {
    case .running, .stopping: "SANDBOX_READY"
    case .creating, .created, .starting, .stopped: "SANDBOX_NOTREADY"
    case .unknown: "SANDBOX_UNKNOWN"
    }
  }
}
