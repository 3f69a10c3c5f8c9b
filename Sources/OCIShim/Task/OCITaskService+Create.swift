internal import Logging
internal import NIOPosix
internal import SwiftProtobuf
internal import Synchronization
internal import ContainerdAPI
internal import FoundationEssentials  // For Data, which is what SwiftProtobuf keeps bytes in.
internal import Glibc
internal import JSON
internal import ProcessSupervision
internal import RPCCore
internal import ShimProtocol

/// Create, and the Start of an init.
extension OCITaskService {
  func createContainer(
    _ request: Containerd_Task_V3_CreateTaskRequest
  ) async throws -> Containerd_Task_V3_CreateTaskResponse {
    do throws(ShimProtocolError) { try Identifier.validate(request.id, as: .id) } catch {
      throw RPCError(code: .invalidArgument, message: "\(error)")
    }
    guard request.bundle.hasPrefix("/"), !request.bundle.utf8.contains(0) else {
      throw RPCError(code: .invalidArgument, message: "the bundle must be an absolute path")
    }
    try table.withLock { table throws(RPCError) in
      guard table.containers[request.id] == nil, table.reserved.insert(request.id).inserted else {
        throw RPCError(
          code: .alreadyExists, message: "container \(request.id) exists: already exists")
      }
      table.deleted.removeAll { $0.id == request.id }
    }
    defer { table.withLock { _ = $0.reserved.remove(request.id) } }
    do {
      return try await createReserved(request)
    } catch let error as OCIShimError {
      throw error.rpcError
    }
  }

  private func createReserved(
    _ request: Containerd_Task_V3_CreateTaskRequest
  ) async throws -> Containerd_Task_V3_CreateTaskResponse {
    let options =
      request.hasOptions && !request.options.typeURL.isEmpty
      ? try RuntimeOptions(request.options) : configuration.defaults
    let stdio = JournalRecord.Stdio(
      stdin: request.stdin, stdout: request.stdout, stderr: request.stderr,
      terminal: request.terminal)
    var record = JournalRecord(id: request.id, namespace: configuration.namespace)
    record.options = options
    record.stdio = stdio
    record.hasMounts = !request.rootfs.isEmpty
    if record.hasMounts { try await mountRootfs(request) }
    var container: TaskContainer?
    do {
      let made = try await makeContainer(request, options, record)
      container = made
      if request.checkpoint.isEmpty {
        try await runCreate(made, request)
      } else {
        table.withLock { $0.containers[made.id] = made }
        publishCreate(made, request)
      }
      var response = Containerd_Task_V3_CreateTaskResponse()
      response.pid = UInt32(made.pid)
      return response
    } catch {
      await container?.state.withLock { $0.io }?.abandon()
      if record.hasMounts { await unmountAfterFailure(request.bundle) }
      throw error
    }
  }

  private func mountRootfs(_ request: Containerd_Task_V3_CreateTaskRequest) async throws {
    guard let mounts else {
      throw RPCError(code: .unimplemented, message: "this shim mounts no root file systems")
    }
    let rootfs = "\(request.bundle)/rootfs"
    guard mkdir(rootfs, 0o711) == 0 || errno == EEXIST else {
      throw OCIShimError(code: .system, message: "\(rootfs) cannot be made (errno \(errno))")
    }
    try await mounts.mount(request.rootfs, bundle: request.bundle)
  }

  private func unmountAfterFailure(_ bundle: String) async {
    do { try await mounts?.unmount(bundle: bundle) } catch {
      logger.warning(
        "a root file system stays mounted", metadata: ["bundle": "\(bundle)", "error": "\(error)"])
    }
  }

  private func makeContainer(
    _ request: Containerd_Task_V3_CreateTaskRequest, _ options: RuntimeOptions,
    _ record: JournalRecord
  ) async throws -> TaskContainer {
    let namespace = configuration.namespace
    let attached = configuration.attached
    let container = try await journalThread.runIfActive {
      let spec = ContainerConfiguration(bundle: request.bundle)
      let io = try Self.openStreams(
        record.stdio, options, spec, id: request.id, namespace, bundle: request.bundle)
      let isAttached = AttachedContainers.isAttached(request.bundle)
      do {
        if isAttached { try attached?.note(record, bundle: request.bundle) }
        try Journal(bundle: request.bundle).write(record)
      } catch {
        io.close()
        throw error
      }
      return TaskContainer(
        id: request.id, bundle: request.bundle,
        runtime: OCIRuntime(options: options, namespace: namespace, directory: request.bundle),
        checkpoint: request.checkpoint, parentCheckpoint: request.parentCheckpoint,
        configuration: spec,
        hasMounts: record.hasMounts, isAttached: isAttached, io: io, journal: record)
    }
    return container
  }

  private func runCreate(
    _ container: TaskContainer, _ request: Containerd_Task_V3_CreateTaskRequest
  ) async throws {
    let pidFile = "\(container.bundle)/init.pid"
    let ticket = ledger.withLock { $0.willCreate(container.id) }
    let process: JournalRecord.Process
    do {
      process = try await spawn(
        container, container.key, container.state.withLock { $0.io }, pidFile: pidFile
      ) { socket in
        .create(
          id: container.id, bundle: container.bundle, pidFile: pidFile, consoleSocket: socket)
      }
      container.state.withLock { $0.pid = process.pid }
    } catch {
      follow { $0.startFailed(ticket) }
      await removeFailed(container)
      throw error
    }
    table.withLock { $0.containers[container.id] = container }
    publishCreate(container, request)
    await watchMemory(container, process)
    follow { $0.didStart(ticket, pid: process.pid, startTime: process.startTime) }
  }

  /// A runtime that failed in the middle may have left its half behind.
  private func removeFailed(_ container: TaskContainer) async {
    do throws(OCIShimError) {
      try await container.runtime.run(.delete(id: container.id, force: true))
    } catch {
      logger.debug(
        "nothing to remove of a container that could not be created",
        metadata: ["container": "\(container.id)", "error": "\(error)"])
    }
    await CgroupRemains.remove(bundle: container.bundle)
  }

  /// Runs the command that makes a process, and enters in the journal which it is.
  func spawn(
    _ container: TaskContainer, _ key: ProcessKey, _ io: (any ProcessStreams)?, pidFile: String,
    _ operation: (_ consoleSocket: String?) -> RuntimeOperation
  ) async throws -> JournalRecord.Process {
    // That of an earlier process of this name would be taken for this one's.
    unlink(pidFile)
    try await io?.prepare()
    if let logger = io?.logger {
      // Who cleans up after this shim ends it, should it go on.
      try await journal(container) { $0.loggers[key.exec ?? ""] = logger }
    }
    try await container.runtime.run(
      operation(io?.consoleSocket), descriptors: io?.descriptors, spawned: { io?.spawned() })
    try await io?.started()
    let files = BundleFiles(path: container.bundle)
    return try await journalThread.runIfActive {
      let name = String(pidFile.split(separator: "/").last ?? "")
      let text: [UInt8]
      do throws(ShimProtocolError) { text = try files.read(name, limit: 64) } catch {
        throw OCIShimError(
          code: .runtimeFailed, message: "the runtime wrote no pid file", cause: error)
      }
      let trimmed = RuntimeLog.trim(String(decoding: text, as: UTF8.self))
      guard let pid = Int32(trimmed), pid > 0 else {
        throw OCIShimError(
          code: .damagedState, message: "\(pidFile) has no number of a process in it")
      }
      let process = JournalRecord.Process(pid: pid, startTime: ProcessStatus(pid: pid)?.startTime)
      try self.writeJournal(container) { record in
        if let exec = key.exec {
          record.execs[exec]?.process = process
        } else {
          record.initProcess = process
        }
      }
      return process
    }
  }

  func publishCreate(
    _ container: TaskContainer, _ request: Containerd_Task_V3_CreateTaskRequest
  ) {
    var event = Containerd_Events_TaskCreate()
    event.containerID = container.id
    event.bundle = container.bundle
    event.rootfs = request.rootfs
    event.io.stdin = request.stdin
    event.io.stdout = request.stdout
    event.io.stderr = request.stderr
    event.io.terminal = request.terminal
    event.checkpoint = request.checkpoint
    event.pid = UInt32(container.pid)
    events.publish(event, topic: EventTopic.taskCreate)
  }

  // MARK: Start

  func startContainer(_ container: TaskContainer) async throws -> Int32 {
    try await container.operations.run {
      try container.check(.start)
      let isRestore = container.state.withLock { $0.machine.state == .createdFromCheckpoint }
      let ticket =
        isRestore
        ? self.ledger.withLock { $0.willCreate(container.id) }
        : try self.ticket(container.key)
      var process: JournalRecord.Process?
      do {
        if isRestore {
          process = try await self.restore(container)
        } else {
          try await self.runStart(container)
        }
      } catch {
        self.follow { $0.startFailed(ticket) }
        throw error
      }
      container.state.withLock { state in
        if let process { state.pid = process.pid }
        state.machine.apply(.start)
      }
      var event = Containerd_Events_TaskStart()
      event.containerID = container.id
      event.pid = UInt32(container.pid)
      self.events.publish(event, topic: EventTopic.taskStart)
      let started = process
      if let started { await self.watchMemory(container, started) }
      self.follow { $0.didStart(ticket, pid: started?.pid, startTime: started?.startTime) }
      return container.pid
    }
  }

  func ticket(_ key: ProcessKey) throws -> ExitLedger.Ticket {
    try ledger.withLock { ledger throws(RPCError) in
      do throws(LifecycleRefusal) { return try ledger.willStart(key) } catch {
        throw error.rpcError
      }
    }
  }

  /// Runs `start`. A runtime that goes on waiting for an init that has ended is not waited for.
  private func runStart(_ container: TaskContainer) async throws {
    let grace = configuration.startGrace
    let result = await withTaskGroup(of: Result<Void, OCIShimError>?.self) { group in
      group.addTask {
        do throws(OCIShimError) {
          try await container.runtime.run(.start(id: container.id))
          return .success(())
        } catch {
          return .failure(error)
        }
      }
      group.addTask {
        guard await container.initEnded.isResolvedBeforeCancellation() else { return nil }
        // Cancelled when the runtime ends within the grace, as it does where it works.
        try? await Task.sleep(for: grace)
        return nil
      }
      let first = await group.next() ?? nil
      group.cancelAll()
      return first
    }
    guard let result else {
      throw OCIShimError(
        code: .runtimeHung,
        message:
          "container \(container.id)'s init ended, and \(container.runtime.options.binaryName)"
          + " start went on waiting for it and was killed")
    }
    try result.get()
  }

  private func restore(_ container: TaskContainer) async throws -> JournalRecord.Process {
    var checkpoint = RuntimeOperation.Checkpoint()
    checkpoint.imagePath = container.checkpoint
    checkpoint.parentPath = container.parentCheckpoint
    let options = container.runtime.options
    checkpoint.workPath =
      options.criuWorkPath.isEmpty ? "\(container.bundle)/criu-work" : options.criuWorkPath
    let pidFile = "\(container.bundle)/init.pid"
    let taken = checkpoint
    let io = container.state.withLock { $0.io }
    do {
      return try await spawn(container, container.key, io, pidFile: pidFile) {
        .restore(
          id: container.id, bundle: container.bundle, pidFile: pidFile, consoleSocket: $0, taken)
      }
    } catch let error as OCIShimError {
      throw error.explainedByCRIU(log: "\(taken.workPath)/restore.log")
    }
  }

  // MARK: Helpers

  /// - Parameter id: the container's, or the exec's: whose streams they are.
  static func openStreams(
    _ stdio: JournalRecord.Stdio, _ options: RuntimeOptions,
    _ configuration: ContainerConfiguration,
    id: String, _ namespace: String, bundle: String
  ) throws(OCIShimError) -> any ProcessStreams {
    let stdin = try StdioTarget(stdio.stdin)
    let stdout = try StdioTarget(stdio.stdout)
    if case .logger(let uri) = stdout {
      let logger = try BinaryLogger(uri, id: id, namespace: namespace)
      return stdio.terminal
        ? try TerminalIO(stdin: stdin, stdout: stdout, bundle: bundle, logger: logger)
        : try LoggedIO(stdin: stdin, logger: logger)
    }
    if stdio.terminal { return try TerminalIO(stdin: stdin, stdout: stdout, bundle: bundle) }
    let stderr = try StdioTarget(stdio.stderr)
    for other in [stdin, stderr] {
      guard case .logger = other else { continue }
      throw OCIShimError(
        code: .invalidOptions, message: "a logger takes both outputs, and is named as stdout alone")
    }
    // The options are the client's own word.
    let owner = (
      uid: options.ioUid == 0 ? configuration.rootUid : options.ioUid,
      gid: options.ioGid == 0 ? configuration.rootGid : options.ioGid
    )
    return try ProcessIO(stdin: stdin, stdout: stdout, stderr: stderr, owner: owner)
  }
}

extension OCIShimError {
  /// What a caller of the service is answered. Nothing here is NotFound, which callers take for
  /// done: where that is meant, it is said there.
  var rpcError: RPCError {
    let code: RPCCode =
      switch self.code {
      case .invalidOptions: .invalidArgument
      case .runtimeHung: .deadlineExceeded
      default: .unknown
      }
    return RPCError(code: code, message: description, cause: self)
  }
}

extension JournalRecord.Stdio {
  init(stdin: String, stdout: String, stderr: String, terminal: Bool) {
    self.init()
    self.stdin = stdin
    self.stdout = stdout
    self.stderr = stderr
    self.terminal = terminal
  }
}
