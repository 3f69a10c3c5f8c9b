internal import Synchronization
public import ContainerdAPI
internal import Glibc
public import RPCCore
public import SwiftProtobuf

/// The methods as they are called. What one of them does is in the file of its name.
extension OCITaskService: Containerd_Task_V3_TaskService {
  public nonisolated(nonsending) func create(
    _ request: Containerd_Task_V3_CreateTaskRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_CreateTaskResponse {
    try await answering { try await $0.createContainer(request) }
  }

  public nonisolated(nonsending) func start(
    _ request: Containerd_Task_V3_StartRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_StartResponse {
    let container = try container(request.id)
    let pid = try await answering {
      request.execID.isEmpty
        ? try await $0.startContainer(container)
        : try await $0.startExec(container, request.execID)
    }
    var response = Containerd_Task_V3_StartResponse()
    response.pid = UInt32(pid)
    return response
  }

  public nonisolated(nonsending) func exec(
    _ request: Containerd_Task_V3_ExecProcessRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    try await answering { try await $0.addExec(request) }
    return Google_Protobuf_Empty()
  }

  public nonisolated(nonsending) func delete(
    _ request: Containerd_Task_V3_DeleteRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_DeleteResponse {
    if request.execID.isEmpty {
      return try await answering { try await $0.deleteContainer(request.id) }
    }
    let container = try container(request.id)
    return try await answering { try await $0.deleteExec(container, request.execID) }
  }

  public nonisolated(nonsending) func state(
    _ request: Containerd_Task_V3_StateRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_StateResponse {
    try container(request.id).describe(exec: request.execID)
  }

  public nonisolated(nonsending) func kill(
    _ request: Containerd_Task_V3_KillRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    let container = try container(request.id)
    try await answering {
      if request.execID.isEmpty {
        try await $0.killContainer(container, signal: request.signal, all: request.all)
      } else {
        try $0.killExec(container, request.execID, signal: request.signal)
      }
    }
    return Google_Protobuf_Empty()
  }

  public nonisolated(nonsending) func pids(
    _ request: Containerd_Task_V3_PidsRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_PidsResponse {
    let container = try container(request.id)
    return try await answering { try await $0.processes(of: container) }
  }

  public nonisolated(nonsending) func pause(
    _ request: Containerd_Task_V3_PauseRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    let container = try container(request.id)
    try await answering { try await $0.pauseContainer(container) }
    return Google_Protobuf_Empty()
  }

  public nonisolated(nonsending) func resume(
    _ request: Containerd_Task_V3_ResumeRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    let container = try container(request.id)
    try await answering { try await $0.resumeContainer(container) }
    return Google_Protobuf_Empty()
  }

  public nonisolated(nonsending) func checkpoint(
    _ request: Containerd_Task_V3_CheckpointTaskRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    let container = try container(request.id)
    try await answering { try await $0.checkpointContainer(container, request) }
    return Google_Protobuf_Empty()
  }

  public nonisolated(nonsending) func update(
    _ request: Containerd_Task_V3_UpdateTaskRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    let container = try container(request.id)
    try await answering { try await $0.updateContainer(container, request.resources) }
    return Google_Protobuf_Empty()
  }

  public nonisolated(nonsending) func resizePty(
    _ request: Containerd_Task_V3_ResizePtyRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    let container = try container(request.id)
    if !request.execID.isEmpty { try container.checkExec(request.execID, .resize) }
    let io = container.streams(exec: request.execID)
    try await answering { _ in try io?.resize(columns: request.width, rows: request.height) }
    return Google_Protobuf_Empty()
  }

  public nonisolated(nonsending) func closeIO(
    _ request: Containerd_Task_V3_CloseIORequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    let container = try container(request.id)
    if !request.execID.isEmpty, container.state.withLock({ $0.execs[request.execID] == nil }) {
      throw TaskContainer.noExec(request.execID)
    }
    container.streams(exec: request.execID)?.closeStdin()
    return Google_Protobuf_Empty()
  }

  public nonisolated(nonsending) func wait(
    _ request: Containerd_Task_V3_WaitRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_WaitResponse {
    let container = try container(request.id)
    let promise: ExitPromise? =
      request.execID.isEmpty
      ? .some(container.promise)
      : container.state.withLock { $0.execs[request.execID]?.promise }
    guard let promise else { throw TaskContainer.noExec(request.execID) }
    var response = Containerd_Task_V3_WaitResponse()
    if let end = try await promise.wait() {
      response.exitStatus = end.status
      response.exitedAt = end.time.timestamp
    }
    return response
  }

  public nonisolated(nonsending) func stats(
    _ request: Containerd_Task_V3_StatsRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_StatsResponse {
    let container = try container(request.id)
    guard let stats = try await metrics?.stats(container: container.id, pid: container.pid) else {
      throw RPCError(code: .notFound, message: "cgroup does not exist: not found")
    }
    var response = Containerd_Task_V3_StatsResponse()
    response.stats = stats
    return response
  }

  public nonisolated(nonsending) func connect(
    _ request: Containerd_Task_V3_ConnectRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_ConnectResponse {
    var response = Containerd_Task_V3_ConnectResponse()
    response.shimPid = UInt32(getpid())
    response.taskPid = UInt32(table.withLock { $0.containers[request.id] }?.pid ?? 0)
    return response
  }

  public nonisolated(nonsending) func shutdown(
    _ request: Containerd_Task_V3_ShutdownRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    let isEmpty = table.withLock { $0.containers.isEmpty && $0.reserved.isEmpty }
    if isEmpty { shutDown() }
    return Google_Protobuf_Empty()
  }

  /// Carries the work through whatever becomes of the caller, and has its errors in the caller's
  /// terms.
  private nonisolated(nonsending) func answering<T: Sendable>(
    _ body: @escaping @Sendable (OCITaskService) async throws -> T
  ) async throws -> T {
    do {
      return try await uncancelled { try await body(self) }
    } catch let error as OCIShimError {
      throw error.rpcError
    }
  }
}

extension TaskContainer {
  func streams(exec: String) -> (any ProcessStreams)? {
    state.withLock { exec.isEmpty ? $0.io : $0.execs[exec]?.io }
  }
}
