internal import Synchronization

/// What the service is at, for whoever looks into a shim that seems to hang.
extension OCITaskService {
  /// A line for each container: its state, its processes, and how many operations are done to it or
  /// wait behind one that is.
  var stateDescription: String {
    let (containers, reserved) = table.withLock {
      ($0.containers.values.sorted { $0.id < $1.id }, $0.reserved)
    }
    let made = Set(containers.map(\.id))
    let lines =
      containers.map(\.stateDescription)
      + reserved.subtracting(made).sorted().map { "\($0): is being created" }
    return lines.isEmpty ? "no containers" : lines.joined(separator: "\n")
  }
}

extension TaskContainer {
  fileprivate var stateDescription: String {
    let (status, pid, execs) = state.withLock { state in
      (
        state.machine.state.word, state.pid,
        state.execs.sorted { $0.key < $1.key }
          .map { "; exec \($0.key) \($0.value.machine.state.rawValue), pid \($0.value.pid)" }
      )
    }
    let pending = operations.pending
    return "\(id): \(status), pid \(pid)\(execs.joined())"
      + (pending == 0 ? "" : "; operations under way: \(pending)")
  }
}

extension OCISandboxService {
  var stateDescription: String {
    table.withLock { table in
      guard let sandbox = table.sandbox else {
        return table.isCreating ? "a sandbox is being created" : "no sandbox"
      }
      return "sandbox \(sandbox.held.id): \(sandbox.machine.name), pid \(sandbox.machine.pid)"
    }
  }
}
