import ContainerdClient
import Glibc
import RPCCore
import ShimManagement

/// Removes tasks and sandboxes, whatever state they are in.
struct Removal {
  var session: Session
  var force: Bool

  /// How long a killed process may take to end.
  private static let patience = Duration.seconds(10)

  /// Deletes what ended; with `force`, kills what runs first and discards what cannot be reached.
  func remove(_ id: String) async throws {
    let manager = session.manager
    let namespace = session.options.namespace
    let report = try await manager.report(namespace: namespace, id: id)
    switch report.condition {
    case .alive: break
    case .dead, .incomplete:
      try await manager.discard(namespace: namespace, id: id)
      return
    case .mute, .unreachable, .damaged:
      guard force else {
        throw ShimManagementError(
          code: .callFailed, message: "cannot remove \(id): \(Self.reason(report))",
          hint: "Use --force to remove what can be reached without its shim.")
      }
      try await manager.discard(namespace: namespace, id: id)
      return
    }
    let task = try await manager.load(namespace: namespace, id: id)
    do {
      if force { try await kill(task, state: report.state) }
      try await manager.delete(task)
    } catch {
      await manager.release(task)
      throw error
    }
  }

  private func kill(_ task: ShimTask, state: TaskState?) async throws {
    guard let state, state.status != .stopped else { return }
    do {
      try await task.client.kill(
        task.id, signal: UInt32(SIGKILL), all: true, timeout: Self.patience)
    } catch {
      // It ended meanwhile.
      guard error.isNotFound else { throw error }
    }
    // A task that was never started has nothing to wait for: deleting it ends its init.
    guard state.status != .created else { return }
    _ = try await task.wait(timeout: Self.patience)
  }

  private static func reason(_ report: ShimManager.Report) -> String {
    switch report.condition {
    case .damaged(let text), .unreachable(let text): text
    default: "its shim does not answer"
    }
  }

  /// Does the same for each; one that fails does not keep the others from it. The last error is
  /// thrown, those before it are printed.
  static func each(_ ids: [String], _ body: (String) async throws -> Void) async throws {
    var last: (any Error)?
    for id in ids {
      do {
        try await body(id)
      } catch {
        if let last { Output.note("\(last)") }
        last = error
      }
    }
    if let last { throw last }
  }
}
