internal import ContainerdAPI
internal import LinuxSystem
internal import ProcessSupervision
internal import RPCCore
internal import SwiftProtobuf
internal import Synchronization

/// One container of the shim: what is known of it, and its processes.
///
/// Its lock is held for a look or a change alone, never across I/O or a runtime's command, so that
/// State is answered whatever hangs.
final class TaskContainer: Sendable {
  struct Exec {
    var machine = ExecStateMachine()
    var isStarting = false
    var pid: Int32 = 0
    var end: ProcessEnd?
    let record: JournalRecord.Exec
    let stdio: JournalRecord.Stdio
    let promise = ExitPromise()
    var io: (any ProcessStreams)?
    /// Its Delete, under way: who asks again is answered by the same one.
    var deletion: Task<Containerd_Task_V3_DeleteResponse, any Error>?
  }

  struct State {
    var machine: InitStateMachine
    var pid: Int32 = 0
    var end: ProcessEnd?
    var io: (any ProcessStreams)?
    var execs: [String: Exec] = [:]
    /// What deletes of execs answered, for those who ask again; the newest last.
    var deletedExecs: [(id: String, response: Containerd_Task_V3_DeleteResponse)] = []
    var journal: JournalRecord
    var memory: (any MemoryWatch)?
  }

  let id: String
  let bundle: String
  let runtime: OCIRuntime
  let checkpoint: String
  let parentCheckpoint: String
  let configuration: ContainerConfiguration
  let hasMounts: Bool
  /// To a sandbox, in whose bundle it is noted.
  let isAttached: Bool
  let stdio: JournalRecord.Stdio
  let operations = OperationQueue()
  let promise = ExitPromise()
  /// Resolved when the init's end is known, which may be before it is told.
  let initEnded = ExitPromise()
  let state: Mutex<State>

  init(
    id: String, bundle: String, runtime: OCIRuntime, checkpoint: String, parentCheckpoint: String,
    configuration: ContainerConfiguration, hasMounts: Bool, isAttached: Bool,
    io: any ProcessStreams, journal: JournalRecord
  ) {
    self.id = id
    self.bundle = bundle
    self.runtime = runtime
    self.checkpoint = checkpoint
    self.parentCheckpoint = parentCheckpoint
    self.configuration = configuration
    self.hasMounts = hasMounts
    self.isAttached = isAttached
    self.stdio = journal.stdio
    var state = State(
      machine: InitStateMachine(fromCheckpoint: !checkpoint.isEmpty), journal: journal)
    state.io = io
    self.state = Mutex(state)
  }

  var key: ProcessKey { ProcessKey(container: id, exec: nil) }

  var pid: Int32 { state.withLock { $0.pid } }

  func check(_ operation: InitStateMachine.Operation) throws {
    try state.withLock { state throws(RPCError) in
      do throws(LifecycleRefusal) { try state.machine.check(operation) } catch {
        throw error.rpcError
      }
    }
  }

  func checkExec(_ exec: String, _ operation: ExecStateMachine.Operation) throws {
    try state.withLock { state throws(RPCError) in
      guard let process = state.execs[exec] else { throw Self.noExec(exec) }
      do throws(LifecycleRefusal) { try process.machine.check(operation) } catch {
        throw error.rpcError
      }
    }
  }

  static func noExec(_ exec: String) -> RPCError {
    RPCError(code: .notFound, message: "process does not exist \(exec): not found")
  }

  func describe(exec: String) throws -> Containerd_Task_V3_StateResponse {
    try state.withLock { state throws(RPCError) in
      var response = Containerd_Task_V3_StateResponse()
      response.id = id
      response.bundle = bundle
      var stdio = self.stdio
      var end = state.end
      var pid = state.pid
      var status = state.machine.status
      if !exec.isEmpty {
        guard let process = state.execs[exec] else { throw Self.noExec(exec) }
        // An exec is as frozen as the container that it is in.
        let isFrozen = status == .paused || status == .pausing
        status = isFrozen ? status : process.machine.status
        stdio = process.stdio
        end = process.end
        pid = process.pid
        response.execID = exec
      }
      response.pid = UInt32(pid)
      response.status = status
      response.stdin = stdio.stdin
      response.stdout = stdio.stdout
      response.stderr = stdio.stderr
      response.terminal = stdio.terminal
      if let end {
        response.exitStatus = end.status
        response.exitedAt = end.time.timestamp
      }
      return response
    }
  }
}

/// The standard streams of one process, with or without a terminal.
protocol ProcessStreams: Sendable {
  /// What the runtime is given; nil when it makes a terminal.
  var descriptors: [Int32: Int32]? { get }
  /// Where the runtime sends the terminal's descriptor.
  var consoleSocket: String? { get }
  /// The program that takes the output, while it runs; nil where there is none.
  var logger: JournalRecord.Process? { get }
  /// Before the runtime is run.
  func prepare() async throws
  func spawned()
  /// The process runs: with a terminal, its descriptor must have come.
  func started() async throws
  func closeStdin()
  func resize(columns: UInt32, rows: UInt32) throws
  /// The process has ended.
  func ended()
  /// Waits, for a bounded time, until all that it wrote is where it belongs.
  func drain() async
  func close()
}

extension ProcessStreams {
  var logger: JournalRecord.Process? { nil }
  func prepare() async throws {}

  /// The process never was: what was made for it ends, within a limit.
  func abandon() async {
    close()
    await drain()
  }
}

extension InitStateMachine {
  var status: Containerd_V1_Types_Status {
    switch state {
    case .created, .createdFromCheckpoint: .created
    case .running: isPausing ? .pausing : .running
    case .paused: .paused
    case .stopped, .deleted: .stopped
    }
  }
}

extension ExecStateMachine {
  var status: Containerd_V1_Types_Status {
    switch state {
    case .created: .created
    case .running: .running
    case .stopped, .deleted: .stopped
    }
  }
}

extension WallTime {
  var timestamp: Google_Protobuf_Timestamp {
    Google_Protobuf_Timestamp(seconds: seconds, nanos: nanoseconds)
  }
}
