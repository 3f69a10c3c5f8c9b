internal import Logging
internal import NIOPosix
internal import SwiftProtobuf
internal import Synchronization
internal import ContainerdAPI
internal import Glibc
internal import ProcessSupervision
internal import RPCCore

/// Delete and Kill.
extension OCITaskService {
  static let rememberedDeletes = 1024
  /// Of each container.
  static let rememberedExecDeletes = 16

  func deleteContainer(_ id: String) async throws -> Containerd_Task_V3_DeleteResponse {
    let container: TaskContainer
    do throws(RPCError) { container = try self.container(id) } catch {
      // A caller that gave up on its first Delete asks again.
      if let answer = table.withLock({ $0.deleted.last { $0.id == id }?.response }) {
        return answer
      }
      throw error
    }
    return try await container.operations.run {
      // Deleted by one who came before: what that one was answered.
      if let answer = self.table.withLock({ $0.deleted.last { $0.id == id }?.response }),
        container.state.withLock({ $0.machine.state == .deleted })
      {
        return answer
      }
      try container.check(.delete)
      let isUnstarted = container.state.withLock { $0.machine.state == .created }
      let io = container.state.withLock { $0.io }
      await io?.drain()
      if container.checkpoint.isEmpty || container.pid != 0 {
        try await self.runDelete(container)
      }
      // Its init waited for `start`, and was killed by the delete: that is told first.
      if isUnstarted, await !self.hasEnded(container) {
        // Forgotten now, its end would never be told.
        throw RPCError(
          code: .deadlineExceeded,
          message: "the init of container \(id) was killed, and its end has not come; try again")
      }
      if container.hasMounts { try await self.mounts?.unmount(bundle: container.bundle) }
      io?.close()
      if container.isAttached, let attached = self.configuration.attached {
        try await self.journalThread.runIfActive { attached.forget(id) }
      }
      return self.noteDeleted(container)
    }
  }

  private func runDelete(_ container: TaskContainer) async throws {
    do throws(OCIShimError) {
      try await container.runtime.run(.delete(id: container.id, force: false))
    } catch {
      // The runtime knows it no more, as after a checkpoint that ended it.
      guard error.code == .processGone else { throw error }
    }
  }

  private func hasEnded(_ container: TaskContainer) async -> Bool {
    let promise = container.promise
    let limit = configuration.endLimit
    return await withTaskGroup { group in
      group.addTask { await promise.isResolvedBeforeCancellation() }
      group.addTask {
        // Cancelled when the end has come.
        try? await Task.sleep(for: limit)
        return false
      }
      let first = await group.next() ?? false
      group.cancelAll()
      return first
    }
  }

  private func noteDeleted(_ container: TaskContainer) -> Containerd_Task_V3_DeleteResponse {
    var response = Containerd_Task_V3_DeleteResponse()
    let execs = container.state.withLock { state in
      response.pid = UInt32(state.pid)
      if let end = state.end {
        response.exitStatus = end.status
        response.exitedAt = end.time.timestamp
      }
      state.machine.apply(.delete)
      defer { state.execs = [:] }
      return state.execs
    }
    for exec in execs.values {
      // What takes its output is waited for by nobody here, and has its limits.
      if let io = exec.io { Task { await io.drain() } }
      exec.io?.close()
      exec.promise.resolve(exec.end)
    }
    container.promise.resolve(nil)
    container.initEnded.resolve(nil)
    var event = Containerd_Events_TaskDelete()
    event.containerID = container.id
    event.pid = response.pid
    event.exitStatus = response.exitStatus
    if response.hasExitedAt { event.exitedAt = response.exitedAt }
    let answer = response
    ledger.withLock { $0.forget(container: container.id) }
    metrics?.forget(container: container.id)
    // Its end was told, unless it never had a process.
    container.state.withLock { state in
      defer { state.memory = nil }
      return state.memory
    }?.stop()
    table.withLock { table in
      table.containers[container.id] = nil
      table.deleted.append((id: container.id, response: answer))
      if table.deleted.count > Self.rememberedDeletes { table.deleted.removeFirst() }
    }
    events.publish(event, topic: EventTopic.taskDelete)
    return answer
  }

  func deleteExec(
    _ container: TaskContainer, _ exec: String
  ) async throws -> Containerd_Task_V3_DeleteResponse {
    let deletion = try container.state.withLock { state throws(RPCError) in
      guard let process = state.execs[exec] else {
        guard let answer = state.deletedExecs.last(where: { $0.id == exec })?.response else {
          throw TaskContainer.noExec(exec)
        }
        return Task { () async throws in answer }
      }
      if let deletion = process.deletion { return deletion }
      do throws(LifecycleRefusal) { try process.machine.check(.delete) } catch {
        throw error.rpcError
      }
      guard !process.isStarting else {
        throw RPCError(code: .unknown, message: "cannot delete a process that is being started")
      }
      state.execs[exec]?.machine.apply(.delete)
      let deletion = Task { try await self.carryOutDelete(of: exec, process, container) }
      state.execs[exec]?.deletion = deletion
      return deletion
    }
    return try await deletion.value
  }

  private func carryOutDelete(
    of exec: String, _ process: TaskContainer.Exec, _ container: TaskContainer
  ) async throws -> Containerd_Task_V3_DeleteResponse {
    await process.io?.drain()
    process.io?.close()
    process.promise.resolve(process.end)
    unlink("\(container.bundle)/\(exec).pid")
    var response = Containerd_Task_V3_DeleteResponse()
    response.pid = UInt32(process.pid)
    if let end = process.end {
      response.exitStatus = end.status
      response.exitedAt = end.time.timestamp
    }
    let answer = response
    container.state.withLock { state in
      state.execs[exec] = nil
      state.deletedExecs.append((id: exec, response: answer))
      if state.deletedExecs.count > Self.rememberedExecDeletes { state.deletedExecs.removeFirst() }
    }
    try await journal(container) { $0.execs[exec] = nil }
    return answer
  }

  // MARK: Kill

  func killContainer(_ container: TaskContainer, signal: UInt32, all: Bool) async throws {
    try container.check(.kill)
    let isStopped = container.state.withLock { $0.machine.state == .stopped }
    if isStopped, !all {
      throw RPCError(code: .notFound, message: "process already finished: not found")
    }
    do throws(OCIShimError) {
      try await container.runtime.run(.kill(id: container.id, signal: signal, all: all))
    } catch {
      if error.code == .processGone {
        throw RPCError(code: .notFound, message: "\(error.message): not found", cause: error)
      }
      throw error
    }
  }

  func killExec(_ container: TaskContainer, _ exec: String, signal: UInt32) throws {
    guard let number = Int32(exactly: signal), (0...64).contains(number) else {
      throw RPCError(code: .invalidArgument, message: "\(signal) is no signal")
    }
    // Under the lock: an exec whose end is told is no longer running, so the number is still its
    // own, or that of its zombie, or of one that was reaped a moment ago, whose start time differs.
    let (pid, startTime) = try container.state.withLock { state throws(RPCError) in
      guard let process = state.execs[exec] else { throw TaskContainer.noExec(exec) }
      do throws(LifecycleRefusal) { try process.machine.check(.kill) } catch {
        throw error.rpcError
      }
      return (process.pid, state.journal.execs[exec]?.process?.startTime)
    }
    guard let startTime, ProcessIdentity(pid: pid, startTime: startTime).signal(number) else {
      throw RPCError(code: .notFound, message: "process already finished: not found")
    }
  }
}
