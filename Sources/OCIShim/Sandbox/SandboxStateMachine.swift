/// What may be done with a sandbox, and when.
struct SandboxStateMachine: Hashable, Sendable {
  enum State: Hashable, Sendable {
    case created
    case starting
    case ready(pid: Int32)
    case stopped(ProcessEnd)
  }

  enum Refusal: Error, Hashable, Sendable {
    /// It was started before.
    case notStartable
  }

  /// What stopping takes.
  enum Stopping: Hashable, Sendable {
    /// Nothing runs, and nothing will.
    case over
    /// The holder is to be ended.
    case endHolder(pid: Int32)
    /// The holder is about to run: to be asked again when it does.
    case wait
  }

  private(set) var state = State.created

  var pid: Int32 {
    guard case .ready(let pid) = state else { return 0 }
    return pid
  }

  /// As Kubernetes' interface names it.
  var name: String {
    guard case .ready = state else { return "SANDBOX_NOTREADY" }
    return "SANDBOX_READY"
  }

  var end: ProcessEnd? {
    guard case .stopped(let end) = state else { return nil }
    return end
  }

  mutating func start() throws(Refusal) {
    guard state == .created else { throw .notStartable }
    state = .starting
  }

  mutating func started(pid: Int32) {
    if state == .starting { state = .ready(pid: pid) }
  }

  /// The holder could not be made. It cannot be started again: what is half there is to be removed.
  mutating func startFailed(_ end: ProcessEnd) {
    if state == .starting { state = .stopped(end) }
  }

  /// - Parameter now: the end of one that was never started.
  mutating func stop(now: ProcessEnd) -> Stopping {
    switch state {
    case .created:
      state = .stopped(now)
      return .over
    case .starting: return .wait
    case .ready(let pid): return .endHolder(pid: pid)
    case .stopped: return .over
    }
  }

  /// The holder has ended. The first end counts.
  mutating func ended(_ end: ProcessEnd) {
    if self.end == nil { state = .stopped(end) }
  }
}
