internal import ContainerdAPI
public import RPCCore
internal import SwiftProtobuf

// From creation to deletion. The rules are those of containerd's task API (api/runtime/task).
extension TaskClient {
  /// Makes a task, which then waits to be started.
  /// - Returns: the pid of its first process; 0 for one to be restored from a checkpoint.
  public nonisolated(nonsending) func create(
    _ creation: TaskCreation, timeout: Duration? = nil
  ) async throws(RPCError) -> UInt32 {
    try await tasks.create(
      Containerd_Task_V3_CreateTaskRequest(creation), options: .within(timeout)
    ).pid
  }

  /// Starts a task that was created, or a process that ``exec(_:timeout:)`` added.
  /// - Returns: its pid.
  public nonisolated(nonsending) func start(
    _ id: String, execID: String? = nil, timeout: Duration? = nil
  ) async throws(RPCError) -> UInt32 {
    let request = Containerd_Task_V3_StartRequest.with {
      $0.id = id
      $0.execID = execID ?? ""
    }
    return try await tasks.start(request, options: .within(timeout)).pid
  }

  /// Adds a process to a task; `start` with its exec id runs it.
  public nonisolated(nonsending) func exec(
    _ exec: TaskExec, timeout: Duration? = nil
  ) async throws(RPCError) {
    _ = try await tasks.exec(Containerd_Task_V3_ExecProcessRequest(exec), options: .within(timeout))
  }

  /// Sends a signal to a process, or with `all` to every process of the task.
  public nonisolated(nonsending) func kill(
    _ id: String, execID: String? = nil, signal: UInt32, all: Bool = false,
    timeout: Duration? = nil
  ) async throws(RPCError) {
    let request = Containerd_Task_V3_KillRequest.with {
      $0.id = id
      $0.execID = execID ?? ""
      $0.signal = signal
      $0.all = all
    }
    _ = try await tasks.kill(request, options: .within(timeout))
  }

  /// Waits for a process to end. One that has ended already is answered at once.
  public nonisolated(nonsending) func wait(
    _ id: String, execID: String? = nil, timeout: Duration? = nil
  ) async throws(RPCError) -> TaskExit {
    let request = Containerd_Task_V3_WaitRequest.with {
      $0.id = id
      $0.execID = execID ?? ""
    }
    let response = try await tasks.wait(request, options: .within(timeout))
    return TaskExit(response)
  }

  /// Removes a task, or an added process, that has ended or was never started.
  public nonisolated(nonsending) func delete(
    _ id: String, execID: String? = nil, timeout: Duration? = nil
  ) async throws(RPCError) -> TaskExit {
    let request = Containerd_Task_V3_DeleteRequest.with {
      $0.id = id
      $0.execID = execID ?? ""
    }
    return TaskExit(
      try await tasks.delete(request, options: .within(timeout)))
  }

  public nonisolated(nonsending) func state(
    _ id: String, execID: String? = nil, timeout: Duration? = nil
  ) async throws(RPCError) -> TaskState {
    let request = Containerd_Task_V3_StateRequest.with {
      $0.id = id
      $0.execID = execID ?? ""
    }
    return TaskState(
      try await tasks.state(request, options: .within(timeout)))
  }

  /// Every process of a task, also those that it started itself.
  public nonisolated(nonsending) func pids(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) -> [TaskProcess] {
    let request = Containerd_Task_V3_PidsRequest.with { $0.id = id }
    return try await tasks.pids(request, options: .within(timeout)).processes.map {
      TaskProcess(pid: $0.pid, info: $0.hasInfo ? $0.info : nil)
    }
  }

  /// Asks a shim for its pid. It answers for a task that it does not know, too.
  public nonisolated(nonsending) func connect(
    _ id: String, timeout: Duration? = nil
  ) async throws(RPCError) -> ShimConnection {
    let request = Containerd_Task_V3_ConnectRequest.with { $0.id = id }
    let response = try await tasks.connect(request, options: .within(timeout))
    return ShimConnection(
      shimPID: response.shimPid, taskPID: response.taskPid, version: response.version)
  }

  /// Asks a shim to end. It does so once it has no tasks, and until then ignores the request.
  /// - Parameter now: a hint to make haste, which shims may ignore.
  public nonisolated(nonsending) func shutdown(
    _ id: String, now: Bool = false, timeout: Duration? = nil
  ) async throws(RPCError) {
    let request = Containerd_Task_V3_ShutdownRequest.with {
      $0.id = id
      $0.now = now
    }
    _ = try await tasks.shutdown(request, options: .within(timeout))
  }
}
