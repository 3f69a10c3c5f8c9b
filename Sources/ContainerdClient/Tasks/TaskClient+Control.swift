internal import ContainerdAPI
public import RPCCore
public import SwiftProtobuf

// What can be done to a task while it lives.
extension TaskClient {
  public nonisolated(nonsending) func pause(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) {
    let request = Containerd_Task_V3_PauseRequest.with { $0.id = id }
    _ = try await tasks.pause(request, options: .within(timeout))
  }

  public nonisolated(nonsending) func resume(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) {
    let request = Containerd_Task_V3_ResumeRequest.with { $0.id = id }
    _ = try await tasks.resume(request, options: .within(timeout))
  }

  /// Lets go of the writing end that the shim holds of a process's standard input, so that the
  /// process sees its end once nobody else writes.
  public nonisolated(nonsending) func closeIO(
    _ id: String, execID: String? = nil, timeout: Duration? = nil
  ) async throws(RPCError) {
    let request = Containerd_Task_V3_CloseIORequest.with {
      $0.id = id
      $0.execID = execID ?? ""
      $0.stdin = true
    }
    _ = try await tasks.closeIO(request, options: .within(timeout))
  }

  /// Tells a process's terminal the size of its window.
  public nonisolated(nonsending) func resizePty(
    _ id: String, execID: String? = nil, to size: WindowSize, timeout: Duration? = nil
  ) async throws(RPCError) {
    let request = Containerd_Task_V3_ResizePtyRequest.with {
      $0.id = id
      $0.execID = execID ?? ""
      $0.width = UInt32(size.columns)
      $0.height = UInt32(size.rows)
    }
    _ = try await tasks.resizePty(request, options: .within(timeout))
  }

  /// A task's cgroup metrics; their type tells the version of cgroups.
  public nonisolated(nonsending) func stats(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) -> Google_Protobuf_Any {
    let request = Containerd_Task_V3_StatsRequest.with { $0.id = id }
    return try await tasks.stats(request, options: .within(timeout)).stats
  }

  /// Changes a task's limits.
  /// - Parameter resources: the OCI runtime specification's `linux.resources` as JSON in an `Any`.
  public nonisolated(nonsending) func update(
    _ id: String, resources: Google_Protobuf_Any, annotations: [String: String] = [:],
    timeout: Duration? = nil
  ) async throws(RPCError) {
    let request = Containerd_Task_V3_UpdateTaskRequest.with {
      $0.id = id
      $0.resources = resources
      $0.annotations = annotations
    }
    _ = try await tasks.update(request, options: .within(timeout))
  }

  /// Writes a task's state into a directory.
  public nonisolated(nonsending) func checkpoint(
    _ id: String, to path: String, options: Google_Protobuf_Any? = nil, timeout: Duration? = nil
  ) async throws(RPCError) {
    let request = Containerd_Task_V3_CheckpointTaskRequest.with {
      $0.id = id
      $0.path = path
      if let options { $0.options = options }
    }
    _ = try await tasks.checkpoint(request, options: .within(timeout))
  }
}
