public import ContainerdAPI
internal import Glibc
public import RPCCore
public import SwiftProtobuf

/// containerd's task service with an answer for everything: a shim implements what it has, and the
/// rest is answered Unimplemented. `connect` tells this process's id, which is all that a daemon needs
/// of it.
///
/// ``ShimServices/registerTask(_:)`` serves it under both versions of the service.
public protocol ShimTaskService: Containerd_Task_V3_TaskService {}

extension ShimTaskService {
  public nonisolated(nonsending) func state(
    _ request: Containerd_Task_V3_StateRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_StateResponse {
    throw notServed("State")
  }

  public nonisolated(nonsending) func create(
    _ request: Containerd_Task_V3_CreateTaskRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_CreateTaskResponse {
    throw notServed("Create")
  }

  public nonisolated(nonsending) func start(
    _ request: Containerd_Task_V3_StartRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_StartResponse {
    throw notServed("Start")
  }

  public nonisolated(nonsending) func delete(
    _ request: Containerd_Task_V3_DeleteRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_DeleteResponse {
    throw notServed("Delete")
  }

  public nonisolated(nonsending) func pids(
    _ request: Containerd_Task_V3_PidsRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_PidsResponse {
    throw notServed("Pids")
  }

  public nonisolated(nonsending) func pause(
    _ request: Containerd_Task_V3_PauseRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    throw notServed("Pause")
  }

  public nonisolated(nonsending) func resume(
    _ request: Containerd_Task_V3_ResumeRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    throw notServed("Resume")
  }

  public nonisolated(nonsending) func checkpoint(
    _ request: Containerd_Task_V3_CheckpointTaskRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    throw notServed("Checkpoint")
  }

  public nonisolated(nonsending) func kill(
    _ request: Containerd_Task_V3_KillRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    throw notServed("Kill")
  }

  public nonisolated(nonsending) func exec(
    _ request: Containerd_Task_V3_ExecProcessRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    throw notServed("Exec")
  }

  public nonisolated(nonsending) func resizePty(
    _ request: Containerd_Task_V3_ResizePtyRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    throw notServed("ResizePty")
  }

  public nonisolated(nonsending) func closeIO(
    _ request: Containerd_Task_V3_CloseIORequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    throw notServed("CloseIO")
  }

  public nonisolated(nonsending) func update(
    _ request: Containerd_Task_V3_UpdateTaskRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    throw notServed("Update")
  }

  public nonisolated(nonsending) func wait(
    _ request: Containerd_Task_V3_WaitRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_WaitResponse {
    throw notServed("Wait")
  }

  public nonisolated(nonsending) func stats(
    _ request: Containerd_Task_V3_StatsRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_StatsResponse {
    throw notServed("Stats")
  }

  public nonisolated(nonsending) func connect(
    _ request: Containerd_Task_V3_ConnectRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_ConnectResponse {
    .with { $0.shimPid = UInt32(getpid()) }
  }

  public nonisolated(nonsending) func shutdown(
    _ request: Containerd_Task_V3_ShutdownRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    throw notServed("Shutdown")
  }

  private func notServed(_ method: String) -> RPCError {
    RPCError(code: .unimplemented, message: "this shim does not serve \(method)")
  }
}
