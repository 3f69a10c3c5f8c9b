internal import RPCCore

/// What a container may be asked for, and when (containerd's `process/init_state.go`).
///
/// An operation is asked for with ``check(_:)`` before its runtime command is run, and
/// recorded with ``apply(_:)`` after it succeeded. The container may have ended between the two:
/// then the end stands.
struct InitStateMachine: Hashable, Sendable {
  enum State: Hashable, Sendable, CaseIterable {
    case created
    /// Created by its record alone: `start` restores it.
    case createdFromCheckpoint
    case running
    case paused
    case stopped
    case deleted

    var word: String {
      switch self {
      case .created, .createdFromCheckpoint: "created"
      case .running: "running"
      case .paused: "paused"
      case .stopped: "stopped"
      case .deleted: "deleted"
      }
    }
  }

  enum Operation: Hashable, Sendable, CaseIterable {
    case start
    case pause
    case resume
    case checkpoint
    case update
    case exec
    case kill
    case delete
  }

  private(set) var state: State
  /// Between `pause`'s command and its end: reported by State, and no state of its own.
  var isPausing = false

  init(fromCheckpoint: Bool = false) { state = fromCheckpoint ? .createdFromCheckpoint : .created }

  /// Whether the operation may be carried out now.
  func check(_ operation: Operation) throws(LifecycleRefusal) {
    switch (operation, state) {
    case (.start, .created), (.start, .createdFromCheckpoint),
      (.pause, .running), (.resume, .paused),
      (.checkpoint, .running), (.checkpoint, .paused),
      (.update, .created), (.update, .running), (.update, .paused),
      (.exec, .created), (.exec, .running),
      (.kill, .created), (.kill, .running), (.kill, .paused), (.kill, .stopped),
      (.delete, .created), (.delete, .createdFromCheckpoint), (.delete, .stopped):
      return
    case (.kill, .createdFromCheckpoint):
      throw LifecycleRefusal(
        code: .failedPrecondition, message: "cannot kill a container that is not restored yet")
    case (.kill, .deleted), (.delete, .deleted):
      throw LifecycleRefusal(
        code: .notFound, message: "cannot \(operation) a deleted process: not found")
    case (.exec, _): throw .cannot("exec", "in a \(state.word) state")
    case (.start, _), (.delete, _): throw .cannot("\(operation)", "a \(state.word) process")
    case (.pause, _), (.resume, _), (.checkpoint, _), (.update, _):
      throw .cannot("\(operation)", "a \(state.word) container")
    }
  }

  /// Records that an operation succeeded. What does not move the state is ignored, as is anything
  /// that comes behind the container's end.
  mutating func apply(_ operation: Operation) {
    switch (operation, state) {
    case (.start, .created), (.start, .createdFromCheckpoint), (.resume, .paused): state = .running
    case (.pause, .running): state = .paused
    case (.delete, .created), (.delete, .createdFromCheckpoint), (.delete, .stopped):
      state = .deleted
    default: break
    }
  }

  /// Records the end of the init. False when it had been recorded.
  @discardableResult
  mutating func exited() -> Bool {
    guard state != .stopped, state != .deleted else { return false }
    state = .stopped
    isPausing = false
    return true
  }
}
