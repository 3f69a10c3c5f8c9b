internal import ContainerdClient
internal import SwiftProtobuf
internal import Synchronization

/// One sandbox as the controller has it: its record, what its driver has of it, and who waits for it.
final class ControlledSandbox: Sendable {
  struct State {
    var stored: StoredSandbox
    /// nil while it cannot be reached, and once it has ended.
    var driven: (any DrivenSandbox)?
    var watcher: Task<Void, Never>?
    /// Whether it was found on the disk, and not made in this life of the controller.
    var isRestored: Bool
    /// Whether its creation was told of, and its end was not.
    var isAnnounced: Bool
    /// Nothing is left of it.
    var isRemoved = false
    var platform: SandboxPlatform?
  }

  let name: SandboxName
  let driver: any SandboxDriver
  /// What changes the sandbox is done one after the other.
  let gate = OperationGate()
  let end = EndPromise()
  /// Writers of its record; the last one's is the newest.
  private let disk = OperationGate()
  private let store: RecordStore
  private let state: Mutex<State>

  init(
    _ stored: StoredSandbox, driver: any SandboxDriver, store: RecordStore, isRestored: Bool
  ) {
    name = stored.order.name
    self.driver = driver
    self.store = store
    // Those that were never finished were never told of.
    let isAnnounced =
      isRestored && stored.machine.exit == nil && stored.machine.state != .creating
    state = Mutex(State(stored: stored, isRestored: isRestored, isAnnounced: isAnnounced))
  }

  var order: SandboxOrder { state.withLock { $0.stored.order } }
  var machine: SandboxMachine { state.withLock { $0.stored.machine } }
  var driven: (any DrivenSandbox)? { state.withLock { $0.driven } }
  var snapshot: State { state.withLock { $0 } }

  @discardableResult
  func change<Value: Sendable>(_ body: (inout State) -> sending Value) -> Value {
    state.withLock { body(&$0) }
  }

  /// Has the record on the disk be as it is now.
  func save() async throws(SandboxControlError) {
    try await Self.whole(disk) { () throws(SandboxControlError) in
      let now = self.snapshot
      guard !now.isRemoved else { return }
      try await offload { () throws(SandboxControlError) in try self.store.write(now.stored) }
    }
  }

  /// Removes the record. Nothing writes it again.
  func removeRecord() async throws(SandboxControlError) {
    try await Self.whole(disk) { () throws(SandboxControlError) in
      try await offload { () throws(SandboxControlError) in try self.store.remove(self.name) }
      self.change { $0.isRemoved = true }
    }
  }

  /// Also when the calling task is cancelled: what happened has to be on the disk.
  private static func whole(
    _ gate: OperationGate,
    _ body: @escaping @Sendable () async throws(SandboxControlError) -> Void
  ) async throws(SandboxControlError) {
    let work = Task.detached { () async -> Result<Void, SandboxControlError> in
      do throws(SandboxControlError) { return .success(try await gate.run(body)) } catch {
        return .failure(error)
      }
    }
    try await work.value.get()
  }
}
