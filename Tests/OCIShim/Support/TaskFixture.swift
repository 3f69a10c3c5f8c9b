import ContainerdAPI
import FoundationEssentials
import Logging
import RPCCore
import SwiftProtobuf
import Synchronization

@testable import OCIShim

/// Keeps what is published, in its order.
final class RecordingSink: EventSink {
  private let log = Mutex<[(topic: String, event: any Message & Sendable)]>([])

  func publish(_ event: some Message & Sendable, topic: String) {
    log.withLock { $0.append((topic: topic, event: event)) }
  }

  /// `topic id`, of execs `topic container/exec`.
  var lines: [String] {
    log.withLock { log in
      log.map { entry in
        let name = String(entry.topic.split(separator: "/").last ?? "")
        switch entry.event {
        case let event as Containerd_Events_TaskExit:
          let id =
            event.id == event.containerID ? event.id : "\(event.containerID)/\(event.id)"
          return "\(name) \(id) \(event.exitStatus)"
        case let event as Containerd_Events_TaskExecStarted:
          return "\(name) \(event.containerID)/\(event.execID)"
        case let event as Containerd_Events_TaskExecAdded:
          return "\(name) \(event.containerID)/\(event.execID)"
        case let event as Containerd_Events_TaskCreate: return "\(name) \(event.containerID)"
        case let event as Containerd_Events_TaskStart: return "\(name) \(event.containerID)"
        case let event as Containerd_Events_TaskDelete: return "\(name) \(event.containerID)"
        case let event as Containerd_Events_TaskPaused: return "\(name) \(event.containerID)"
        case let event as Containerd_Events_TaskResumed: return "\(name) \(event.containerID)"
        case let event as Containerd_Events_TaskCheckpointed:
          return "\(name) \(event.containerID) \(event.checkpoint)"
        case let event as Containerd_Events_TaskOOM: return "\(name) \(event.containerID)"
        default: return name
        }
      }
    }
  }
}

/// Ends as the test says.
final class ManualExits: ExitSource {
  private let handlers = Mutex<[@Sendable (ReapedChild) -> Void]>([])

  func subscribe(_ handler: @escaping @Sendable (ReapedChild) -> Void) {
    handlers.withLock { $0.append(handler) }
  }

  func end(_ pid: UInt32, status: UInt32 = 0) {
    let child = ReapedChild(
      pid: Int32(pid), startTime: nil, status: status, time: WallTime(seconds: 9, nanoseconds: 1))
    for handler in handlers.withLock({ $0 }) { handler(child) }
  }
}

/// Kills of which the test says when the kernel counts them, and which nobody notices but a look.
final class ManualMemory: MemoryWatching, ContainerMetrics {
  final class Watch: MemoryWatch {
    let state: Mutex<(kills: Int, tell: (@Sendable () -> Void)?)>
    init(_ tell: @escaping @Sendable () -> Void) { state = Mutex((0, tell)) }
    func kill() { state.withLock { $0.kills += 1 } }
    func look() {
      state.withLock { state in
        if state.kills > 0 { state.tell?() }
        state.kills = 0
      }
    }
    func stop() {
      look()
      state.withLock { $0.tell = nil }
    }
  }

  private let made = Mutex<[Watch]>([])
  private let gone = Mutex<[String]>([])
  var watches: [Watch] { made.withLock { $0 } }
  var forgotten: [String] { gone.withLock { $0 } }

  func watch(
    _ process: JournalRecord.Process, _ tell: @escaping @Sendable () -> Void
  ) throws -> (any MemoryWatch)? {
    let watch = Watch(tell)
    made.withLock { $0.append(watch) }
    return watch
  }

  func stats(container: String, pid: Int32) async throws -> Google_Protobuf_Any? { nil }
  func forget(container: String) { gone.withLock { $0.append(container) } }
}

/// A service over a fake runtime whose processes are numbers that no process of the system has.
struct TaskFixture {
  static let body = """
    case "$op" in
      create|exec|restore) echo $((5000000 + $$)) > "$pidfile" ;;
    esac
    if [ -e "$here/stray-$op" ]; then
      sleep 1000 > /dev/null 2>&1 & echo $! > "$here/stray-$op"; echo $! > "$pidfile"
    fi
    [ "$op" != checkpoint ] || {
      mkdir "$work" && echo "(0.1) Error (x.c:1): words" > "$work/dump.log"
    }
    [ ! -e "$here/hold-$op" ] || while [ ! -e "$here/go" ]; do sleep 0.01; done
    [ ! -e "$here/fail-$op" ] || fail "$(cat "$here/fail-$op")"
    [ "$op" != update ] || cat > "$here/resources"
    [ "$op" != ps ] || cat "$here/processes"
    """

  let fake: FakeRuntime
  let bundle: TemporaryDirectory
  let sink = RecordingSink()
  let exits = ManualExits()
  let memory = ManualMemory()
  let service: OCITaskService
  let shutdowns: Counter
  var context: RPCServerContext { RPCServerContext(method: Containerd_Task_V3_TaskMethods.state) }

  final class Counter: Sendable {
    private let count = Mutex(0)
    func add() { count.withLock { $0 += 1 } }
    var value: Int { count.withLock { $0 } }
  }

  init() throws {
    fake = try FakeRuntime(Self.body)
    bundle = try TemporaryDirectory()
    try bundle.write(
      "config.json", #"{"linux":{"namespaces":[{"type":"pid"},{"type":"mount"}]}}"#)
    var configuration = OCITaskService.Configuration(namespace: "ns", logger: Logger(label: "test"))
    configuration.defaults = fake.options
    configuration.startGrace = .milliseconds(50)
    configuration.endLimit = .milliseconds(100)
    let shutdowns = Counter()
    self.shutdowns = shutdowns
    service = OCITaskService(
      configuration, events: sink, exits: exits, metrics: memory, memory: memory
    ) { shutdowns.add() }
  }

  /// Runs the body, and ends the service whatever becomes of it.
  static func with(_ body: (TaskFixture) async throws -> Void) async throws {
    let fixture = try TaskFixture()
    do { try await body(fixture) } catch {
      await fixture.service.close()
      throw error
    }
    await fixture.service.close()
  }

  func create(
    _ id: String = "a", _ change: (inout Containerd_Task_V3_CreateTaskRequest) -> Void = { _ in }
  ) async throws -> UInt32 {
    var request = Containerd_Task_V3_CreateTaskRequest()
    request.id = id
    request.bundle = bundle.path
    change(&request)
    return try await service.create(request, context: context).pid
  }

  func start(_ exec: String = "", id: String = "a") async throws -> UInt32 {
    var request = Containerd_Task_V3_StartRequest()
    request.id = id
    request.execID = exec
    return try await service.start(request, context: context).pid
  }

  func exec(_ exec: String, spec: String = #"{"args":["true"]}"#) async throws {
    var request = Containerd_Task_V3_ExecProcessRequest()
    request.id = "a"
    request.execID = exec
    request.spec.value = Data(spec.utf8)
    _ = try await service.exec(request, context: context)
  }

  func state(_ exec: String = "", id: String = "a") async throws -> Containerd_Task_V3_StateResponse
  {
    var request = Containerd_Task_V3_StateRequest()
    request.id = id
    request.execID = exec
    return try await service.state(request, context: context)
  }

  func wait(_ exec: String = "") async throws -> Containerd_Task_V3_WaitResponse {
    var request = Containerd_Task_V3_WaitRequest()
    request.id = "a"
    request.execID = exec
    return try await service.wait(request, context: context)
  }

  func delete(_ exec: String = "") async throws -> Containerd_Task_V3_DeleteResponse {
    var request = Containerd_Task_V3_DeleteRequest()
    request.id = "a"
    request.execID = exec
    return try await service.delete(request, context: context)
  }

  func kill(_ exec: String = "", signal: UInt32 = 9, all: Bool = false) async throws {
    var request = Containerd_Task_V3_KillRequest()
    request.id = "a"
    request.execID = exec
    request.signal = signal
    request.all = all
    _ = try await service.kill(request, context: context)
  }

  /// Waits until a file of the bundle is there, and gives its number.
  func number(in name: String) async throws -> UInt32 {
    for _ in 0..<10_000 {
      if let text = bundle.read(name), text.hasSuffix("\n"), let number = UInt32(text.dropLast()) {
        return number
      }
      try await Task.sleep(for: .milliseconds(5))
    }
    throw OCIShimError(code: .system, message: "\(name) does not come")
  }
}
