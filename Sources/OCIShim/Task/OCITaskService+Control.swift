internal import Logging
internal import NIOPosix
internal import SwiftProtobuf
internal import Synchronization
internal import ContainerdAPI
internal import FoundationEssentials  // For Data, which is what SwiftProtobuf keeps bytes in.
internal import JSON
internal import RPCCore

/// Pause, Resume, Checkpoint, Update, Pids.
extension OCITaskService {
  func pauseContainer(_ container: TaskContainer) async throws {
    try await container.operations.run {
      try container.check(.pause)
      container.state.withLock { $0.machine.isPausing = true }
      defer { container.state.withLock { $0.machine.isPausing = false } }
      try await container.runtime.run(.pause(id: container.id))
      container.state.withLock { $0.machine.apply(.pause) }
      var event = Containerd_Events_TaskPaused()
      event.containerID = container.id
      self.events.publish(event, topic: EventTopic.taskPaused)
    }
  }

  func resumeContainer(_ container: TaskContainer) async throws {
    try await container.operations.run {
      try container.check(.resume)
      try await container.runtime.run(.resume(id: container.id))
      container.state.withLock { $0.machine.apply(.resume) }
      var event = Containerd_Events_TaskResumed()
      event.containerID = container.id
      self.events.publish(event, topic: EventTopic.taskResumed)
    }
  }

  func updateContainer(
    _ container: TaskContainer, _ resources: Google_Protobuf_Any
  ) async throws {
    let bytes = [UInt8](resources.value)
    do throws(JSONFault) { _ = try JSONValue(parsing: bytes) } catch {
      throw RPCError(code: .invalidArgument, message: "the resources are no JSON: \(error)")
    }
    try await container.operations.run {
      try container.check(.update)
      try await container.runtime.run(.update(id: container.id), input: bytes)
    }
  }

  func checkpointContainer(
    _ container: TaskContainer, _ request: Containerd_Task_V3_CheckpointTaskRequest
  ) async throws {
    var options = Containerd_Runc_V1_CheckpointOptions()
    if request.hasOptions, !request.options.typeURL.isEmpty {
      do throws(ContainerdAPIError) { options = try TypeURL.unpack(request.options) } catch {
        throw RPCError(code: .invalidArgument, message: "\(error)")
      }
    }
    var checkpoint = RuntimeOperation.Checkpoint()
    checkpoint.imagePath = request.path.isEmpty ? options.imagePath : request.path
    checkpoint.workPath =
      options.workPath.isEmpty ? "\(container.bundle)/criu-work" : options.workPath
    checkpoint.openTCP = options.openTcp
    checkpoint.externalUnixSockets = options.externalUnixSockets
    checkpoint.terminal = options.terminal
    checkpoint.fileLocks = options.fileLocks
    checkpoint.emptyNamespaces = options.emptyNamespaces
    checkpoint.leaveRunning = !options.exit
    let taken = checkpoint
    try await container.operations.run {
      try container.check(.checkpoint)
      do throws(OCIShimError) {
        try await container.runtime.run(.checkpoint(id: container.id, taken))
      } catch {
        throw error.explainedByCRIU(workPath: taken.workPath, log: "dump.log")
      }
    }
  }

  func processes(
    of container: TaskContainer
  ) async throws -> Containerd_Task_V3_PidsResponse {
    let execs = container.state.withLock { state in
      Dictionary(
        state.execs.filter { $0.value.machine.state == .running }.map { ($0.value.pid, $0.key) },
        uniquingKeysWith: { first, _ in first })
    }
    var response = Containerd_Task_V3_PidsResponse()
    for pid in try await container.runtime.processes(of: container.id) {
      var process = Containerd_V1_Types_ProcessInfo()
      process.pid = UInt32(pid)
      if let exec = execs[pid] {
        var details = Containerd_Runc_V1_ProcessDetails()
        details.execID = exec
        process.info = try TypeURL.pack(details)
      }
      response.processes.append(process)
    }
    return response
  }
}
