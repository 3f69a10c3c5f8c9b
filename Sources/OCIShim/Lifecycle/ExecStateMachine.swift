internal import RPCCore

/// What an exec may be asked for, and when (containerd's `process/exec_state.go`).
struct ExecStateMachine: Hashable, Sendable {
  enum State: String, Hashable, Sendable, CaseIterable {
    case created
    case running
    case stopped
    case deleted
  }

  enum Operation: Hashable, Sendable, CaseIterable {
    case start
    case resize
    case kill
    case delete
  }

  private(set) var state = State.created

  func check(_ operation: Operation) throws(LifecycleRefusal) {
    switch (operation, state) {
    case (.start, .created), (.resize, .created), (.resize, .running), (.kill, .running),
      (.delete, .created), (.delete, .stopped):
      return
    case (.kill, .created):
      throw LifecycleRefusal(
        code: .failedPrecondition, message: "cannot kill a process that is not started")
    case (.kill, .stopped):
      throw LifecycleRefusal(code: .notFound, message: "process already finished: not found")
    case (.kill, .deleted), (.delete, .deleted):
      throw LifecycleRefusal(
        code: .notFound, message: "cannot \(operation) a deleted process: not found")
    default: throw .cannot("\(operation)", "a \(state.rawValue) process")
    }
  }

  mutating func apply(_ operation: Operation) {
    switch (operation, state) {
    case (.start, .created): state = .running
    case (.delete, .created), (.delete, .stopped): state = .deleted
    default: break
    }
  }

  /// Records the end. False when it had been recorded.
  @discardableResult
  mutating func exited() -> Bool {
    guard state == .created || state == .running else { return false }
    state = .stopped
    return true
  }
}
