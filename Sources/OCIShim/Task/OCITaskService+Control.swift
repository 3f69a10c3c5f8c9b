internal import Logging
internal import NIOPosix
internal import SwiftProtobuf
internal import Synchronization
internal import ContainerdAPI
internal import FoundationEssentials  // For Data, which is what SwiftProtobuf keeps bytes in.
internal import Glibc
internal import JSON
internal import LinuxSystem
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
    let isOwnWork = options.workPath.isEmpty
    checkpoint.workPath = isOwnWork ? "\(container.bundle)/criu-work" : options.workPath
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
        guard isOwnWork else {
          throw error.explainedByCRIU(log: "\(taken.workPath)/dump.log")
        }
        // Kept where it is not in the way of the next attempt's; without one, CRIU said nothing.
        let kept = "\(container.bundle)/criu-dump.log"
        unlink(kept)
        _ = rename("\(taken.workPath)/dump.log", kept)
        await self.removeWork(taken.workPath)
        throw error.explainedByCRIU(log: kept)
      }
      if isOwnWork { await self.removeWork(taken.workPath) }
      var event = Containerd_Events_TaskCheckpointed()
      event.containerID = container.id
      event.checkpoint = taken.imagePath
      self.events.publish(event, topic: EventTopic.taskCheckpointed)
    }
  }

  /// What CRIU needed while it worked: files, in one directory.
  private func removeWork(_ path: String) async {
    // A service that is closed meanwhile leaves it to `delete`, as all of the bundle.
    try? await journalThread.runIfActive {
      // No directory, no work.
      guard let directory = try? OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY) else {
        return
      }
      for name in try directory.names() { unlink("\(path)/\(name)") }
      guard rmdir(path) != 0 else { return }
      self.logger.warning(
        "CRIU's work cannot be removed", metadata: ["path": "\(path)", "errno": "\(errno)"])
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
