internal import Logging
internal import NIOPosix
internal import SwiftProtobuf
internal import Synchronization
internal import ContainerdAPI
internal import FoundationEssentials  // For Data, which is what SwiftProtobuf keeps bytes in.
internal import Glibc
internal import JSON
internal import LinuxSystem
internal import ProcessSupervision
internal import RPCCore
internal import ShimProtocol

/// Exec, and the Start of one.
extension OCITaskService {
  /// In bytes. A process's arguments and environment are the kernel's to bound: 2 MiB as a rule.
  static let largestProcess = 8 << 20

  func addExec(_ request: Containerd_Task_V3_ExecProcessRequest) async throws {
    let container = try container(request.id)
    do throws(ShimProtocolError) { try Identifier.validate(request.execID, as: .execID) } catch {
      throw RPCError(code: .invalidArgument, message: "\(error)")
    }
    try container.check(.exec)
    var record = JournalRecord.Exec()
    record.spec = try Self.process([UInt8](request.spec.value), terminal: request.terminal)
    record.stdio = JournalRecord.Stdio(
      stdin: request.stdin, stdout: request.stdout, stderr: request.stderr,
      terminal: request.terminal)
    let id = request.execID
    let added = record
    let isNew = container.state.withLock { state in
      guard state.execs[id] == nil else { return false }
      state.deletedExecs.removeAll { $0.id == id }
      state.execs[id] = TaskContainer.Exec(record: added, stdio: added.stdio)
      return true
    }
    guard isNew else {
      throw RPCError(code: .alreadyExists, message: "id \(id): already exists")
    }
    do {
      try await journal(container) { $0.execs[id] = added }
    } catch {
      container.state.withLock { $0.execs[id] = nil }
      throw error
    }
    var event = Containerd_Events_TaskExecAdded()
    event.containerID = container.id
    event.execID = id
    events.publish(event, topic: EventTopic.taskExecAdded)
  }

  /// The process to run, with the request's own say on whether it has a terminal.
  private static func process(_ bytes: [UInt8], terminal: Bool) throws -> [UInt8] {
    guard bytes.count <= largestProcess else {
      throw RPCError(
        code: .invalidArgument, message: "the process is larger than \(largestProcess) bytes")
    }
    var value: JSONValue
    do throws(JSONFault) { value = try JSONValue(parsing: bytes) } catch {
      throw RPCError(code: .invalidArgument, message: "the process is no JSON: \(error)")
    }
    guard value.object != nil else {
      throw RPCError(code: .invalidArgument, message: "the process is \(value.kind)")
    }
    value["terminal"] = .bool(terminal)
    return value.printed()
  }

  func startExec(_ container: TaskContainer, _ exec: String) async throws -> Int32 {
    try container.state.withLock { state throws(RPCError) in
      guard let process = state.execs[exec] else { throw TaskContainer.noExec(exec) }
      do throws(LifecycleRefusal) { try process.machine.check(.start) } catch {
        throw error.rpcError
      }
      guard !process.isStarting else {
        throw RPCError(code: .unknown, message: "cannot start a process that is being started")
      }
      state.execs[exec]?.isStarting = true
    }
    defer { container.state.withLock { $0.execs[exec]?.isStarting = false } }
    let key = ProcessKey(container: container.id, exec: exec)
    let ticket = try ticket(key)
    let process: JournalRecord.Process
    do {
      process = try await runExec(container, exec)
    } catch {
      follow { $0.startFailed(ticket) }
      await killStray(container, exec)
      let failed = container.state.withLock { state in
        defer { state.execs[exec]?.io = nil }
        return state.execs[exec]
      }
      await failed?.io?.abandon()
      // It never ran: who waits for it is answered.
      failed?.promise.resolve(nil)
      throw error
    }
    container.state.withLock { state in
      state.execs[exec]?.pid = process.pid
      state.execs[exec]?.machine.apply(.start)
    }
    var event = Containerd_Events_TaskExecStarted()
    event.containerID = container.id
    event.execID = exec
    event.pid = UInt32(process.pid)
    events.publish(event, topic: EventTopic.taskExecStarted)
    follow { $0.didStart(ticket, pid: process.pid, startTime: process.startTime) }
    return process.pid
  }

  private func runExec(
    _ container: TaskContainer, _ exec: String
  ) async throws -> JournalRecord.Process {
    guard let record = container.state.withLock({ $0.execs[exec]?.record }) else {
      throw TaskContainer.noExec(exec)
    }
    let specName = "\(exec).process.json"
    let specPath = "\(container.bundle)/\(specName)"
    let options = container.runtime.options
    let bundle = BundleFiles(path: container.bundle)
    let io = try await journalThread.runIfActive {
      // It holds the environment, where secrets live.
      try bundle.writeAtomically(specName, record.spec, mode: 0o600)
      return try Self.openStreams(
        record.stdio, options, container.configuration, id: exec, container.runtime.namespace,
        bundle: container.bundle)
    }
    defer { unlink(specPath) }
    container.state.withLock { $0.execs[exec]?.io = io }
    let pidFile = "\(container.bundle)/\(exec).pid"
    let key = ProcessKey(container: container.id, exec: exec)
    return try await spawn(container, key, io, pidFile: pidFile) {
      .exec(id: container.id, process: specPath, pidFile: pidFile, consoleSocket: $0)
    }
  }

  /// A runtime that failed, or was killed, behind the start of its process may have left it running:
  /// nobody would know of it. The file with its number was made by that very call.
  private func killStray(_ container: TaskContainer, _ exec: String) async {
    let name = "\(exec).pid"
    let files = BundleFiles(path: container.bundle)
    // A service that was closed meanwhile has no thread for it, and ends with its process.
    let stray = try? await journalThread.runIfActive { () -> Int32? in
      // No file, no process.
      guard let text = try? files.read(name, limit: 64) else { return nil }
      defer { unlink(files.path(of: name)) }
      let pid = Int32(RuntimeLog.trim(String(decoding: text, as: UTF8.self)))
      guard let pid, let process = ProcessIdentity(pid: pid) else { return nil }
      return process.signal(SIGKILL) ? pid : nil
    }
    guard let pid = stray ?? nil else { return }
    logger.warning(
      "a process that its runtime left behind was killed",
      metadata: ["container": "\(container.id)", "exec": "\(exec)", "pid": "\(pid)"])
  }
}
