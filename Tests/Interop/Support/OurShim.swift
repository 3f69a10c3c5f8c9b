import ContainerdAPI
import ContainerdClient
import Glibc
import FoundationEssentials
import LinuxSystem
import ProcessSupervision
import ShimManagement
import SwiftProtobuf
import TTRPC
import Testing
import TransportCore
import UnixTransport

/// A daemon's side of our shim without a daemon: bundles, the shim's `start` and `delete`, its calls
/// over ttrpc and the events that it sends, each with its own time and nothing in between.
final class OurShim: Sendable {
  /// An event, as far as an order of events goes.
  struct Told: Hashable, Sendable, CustomStringConvertible {
    var topic: String
    var container: String
    /// Nil for the init.
    var exec: String?
    var status: UInt32?

    var description: String {
      "\(topic) \(container)\(exec.map { "/" + $0 } ?? "")\(status.map { " \($0)" } ?? "")"
    }
  }

  let directory: String
  let namespace: String
  let rootfs: String
  private let log = Guarded<[Told]>([])
  private let sockets = Guarded<Set<String>>([])
  let state: StateDirectory

  var told: [Told] { log.value }
  func told(of container: String) -> [Told] { told.filter { $0.container == container } }

  private init(directory: String, rootfs: String) {
    self.directory = directory
    self.rootfs = rootfs
    namespace = "o" + String(directory.suffix(6))
    state = StateDirectory(state: "\(directory)/s", root: "\(directory)/r")
  }

  /// Runs a test's body, behind which nothing may be left on the host.
  static func use(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: (OurShim) async throws -> Void
  ) async throws {
    let rootfs = try await BusyboxRootfs.path()
    var template = Array("/tmp/os-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil, "mkdtemp: errno \(errno)")
    let shim = OurShim(
      directory: String(
        decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self),
      rootfs: rootfs)
    do {
      try shim.state.open()
      try await withThrowingTaskGroup(of: Void.self) { group in
        let events = EventsReceiver(directory: shim.state)
        try events.prepare()
        group.addTask { await events.run { try shim.note($0) } }
        try await body(shim)
        group.cancelAll()
      }
    } catch {
      Issue.record(error, sourceLocation: sourceLocation)
    }
    do {
      try await eventually("nothing is left", within: .seconds(15)) { shim.leftovers == [] }
    } catch {
      Issue.record("\(shim.leftovers)", sourceLocation: sourceLocation)
      shim.destroy()
    }
    _ = try? await Command("/bin/rm", arguments: ["-rf", "--one-file-system", shim.directory])
      .run(timeout: .seconds(60))
  }

  private func note(_ event: ShimEvent) throws {
    let topic = String(event.topic.split(separator: "/").last ?? "")
    var told = Told(topic: topic, container: "")
    switch event.topic {
    case EventTopic.taskExit:
      let exit: Containerd_Events_TaskExit = try TypeURL.unpack(event.event)
      told.container = exit.containerID
      told.exec = exit.id == exit.containerID ? nil : exit.id
      told.status = exit.exitStatus
    case EventTopic.taskExecAdded:
      let added: Containerd_Events_TaskExecAdded = try TypeURL.unpack(event.event)
      told.container = added.containerID
      told.exec = added.execID
    case EventTopic.taskExecStarted:
      let started: Containerd_Events_TaskExecStarted = try TypeURL.unpack(event.event)
      told.container = started.containerID
      told.exec = started.execID
    case EventTopic.taskCreate:
      let created: Containerd_Events_TaskCreate = try TypeURL.unpack(event.event)
      told.container = created.containerID
    case EventTopic.taskStart:
      let started: Containerd_Events_TaskStart = try TypeURL.unpack(event.event)
      told.container = started.containerID
    case EventTopic.taskDelete:
      let deleted: Containerd_Events_TaskDelete = try TypeURL.unpack(event.event)
      told.container = deleted.containerID
    default: break
    }
    let entry = told
    log.update { $0.append(entry) }
  }

  // MARK: What a daemon does

  func bundlePath(_ id: String) -> String { "\(directory)/b/\(id)" }

  /// Makes a bundle for a container, in a group of containers with one shim.
  func bundle(_ id: String, group: String, _ args: [String]) throws {
    mkdir("\(directory)/b", 0o711)
    let path = bundlePath(id)
    try #require(mkdir(path, 0o711) == 0, "mkdir \(path): errno \(errno)")
    var spec = try OCISpec.standard(id: id, namespace: namespace, args: args, rootfs: rootfs)
    spec.annotations["io.containerd.runc.v2.group"] = group
    let file = try OwnedDescriptor(
      opening: "\(path)/config.json", O_WRONLY | O_CREAT, mode: 0o600)
    try file.write(spec.bytes())
    try #require(mkfifo("\(path)/log", 0o600) == 0)
  }

  /// - Parameter timeout: of one call of the runtime, in seconds.
  func creation(
    _ id: String, runtime: String = "runc", timeout: Int = 60, streams: StreamLocations = .init()
  ) throws -> TaskCreation {
    var options = Runtimeoptions_V1_Options()
    options.configBody = .init(
      """
      BinaryName = "\(runtime)"
      Root = "\(directory)/runc"
      CommandTimeout = \(timeout)

      """.utf8)
    return TaskCreation(
      id: id, bundle: bundlePath(id), streams: streams, options: try TypeURL.pack(options))
  }

  /// A script in a directory of the fixture's, `$dir`, such as a runtime or a logger.
  func script(_ name: String, _ body: String) throws -> String {
    let path = "\(directory)/\(name)"
    let file = try OwnedDescriptor(opening: path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o755)
    try file.write(Array("#!/bin/sh\ndir=\(directory)\n\(body)\n".utf8))
    return path
  }

  private static let program = HostFiles.ourShim

  private func run(_ id: String, _ words: [String]) async throws -> CapturedOutput {
    try await Command(
      Self.program,
      arguments: ["-namespace", namespace, "-id", id, "-address", "\(directory)/c.sock"] + words,
      environment: [
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TTRPC_ADDRESS=\(state.eventsSocket)",
        "OUR_SHIM=\(directory)",
      ], directory: bundlePath(id)
    ).run(timeout: .seconds(60))
  }

  /// Runs `start`: the path of the socket that the group's shim is at.
  func start(_ id: String) async throws -> String {
    let output = try await run(id, ["start"])
    let text = String(decoding: output.standardOutput, as: UTF8.self)
    try #require(
      output.status.isSuccess && text.hasPrefix("unix://"),
      "\(text)\(String(decoding: output.standardError, as: UTF8.self))")
    let path = String(text.dropFirst("unix://".count).prefix { $0 != "\n" })
    sockets.update { $0.insert(path) }
    return path
  }

  /// Runs `delete`, as a daemon does for a shim that is gone.
  func delete(_ id: String) async throws -> TaskExit {
    let output = try await run(id, ["-bundle", bundlePath(id), "delete"])
    try #require(
      output.status.isSuccess, "\(String(decoding: output.standardError, as: UTF8.self))")
    let response = try Containerd_Task_V3_DeleteResponse(serializedBytes: output.standardOutput)
    return TaskExit(pid: response.pid, status: response.exitStatus)
  }

  typealias Tasks = TaskClient<TTRPCClient>

  /// Calls a shim.
  func with<Value: Sendable>(
    _ socket: String, _ body: @Sendable (Tasks) async throws -> Value
  ) async throws -> Value {
    let namespace = namespace
    return try await withTTRPCClient(
      to: TransportAddress(place: .unix(path: socket)),
      using: TransportRegistry([UnixConnector()]), options: ConnectOptions(timeout: .seconds(60))
    ) { client in
      try await body(TaskClient(caller: client, version: 3, namespace: namespace))
    }
  }

  func exec(
    _ container: String, _ exec: String, _ args: [String], streams: StreamLocations = .init()
  ) -> TaskExec {
    let words = args.map { "\"\($0)\"" }.joined(separator: ",")
    let spec = #"{"args":[\#(words)],"cwd":"/","env":["PATH=/bin"],"user":{"uid":0,"gid":0}}"#
    return TaskExec(
      id: container, execID: exec, streams: streams,
      spec: .with { $0.value = .init(spec.utf8) })
  }

  // MARK: What there is

  /// Processes, mounts, cgroups, sockets and the runtime's records of this fixture.
  var leftovers: [String] {
    let mark = "hawsepipe--\(namespace)--"
    let mounts = HostFiles.lines("/proc/self/mountinfo").filter { $0.contains(directory) }
    let cgroups = HostFiles.tree("/sys/fs/cgroup").filter {
      $0.split(separator: "/").last?.hasPrefix(mark) == true
    }
    let records = ["\(directory)/runc/\(namespace)", "/run/containerd/runc/\(namespace)"]
      .flatMap { HostFiles.names(in: $0) }
    return processes.map { pid in
      let words = HostFiles.text("/proc/\(pid)/cmdline").split(separator: "\0")
      return "process \(pid) \(words.joined(separator: " "))"
    } + mounts.map { "mount \($0)" } + cgroups.map { "cgroup \($0)" }
      + records.map { "runc's record of \($0)" }
      + sockets.value.filter { HostFiles.exists($0) }.map { "socket \($0)" }
  }

  private var processes: [Int32] {
    let mark = "hawsepipe--\(namespace)--"
    return HostFiles.pids.filter { pid in
      guard pid != getpid(), ProcessStatus(pid: pid)?.isDead == false else { return false }
      return ["cmdline", "environ", "cgroup"].contains { file in
        let text = HostFiles.text("/proc/\(pid)/\(file)")
        return text.contains(directory) || text.contains(mark)
      }
    }
  }

  private func destroy() {
    for pid in processes { kill(pid, SIGKILL) }
    for cgroup in HostFiles.tree("/sys/fs/cgroup").reversed()
    where cgroup.contains("hawsepipe--\(namespace)--") { rmdir(cgroup) }
    for socket in sockets.value { unlink(socket) }
  }

  /// The processes that a shim has started and that run a runtime.
  func runtimes(of shim: Int32) -> [Int32] {
    HostFiles.names(in: "/proc/\(shim)/task").flatMap { thread in
      HostFiles.text("/proc/\(shim)/task/\(thread)/children").split(separator: " ")
    }.compactMap { Int32($0) }.filter { pid in
      guard let status = ProcessStatus(pid: pid) else { return false }
      return status.parent == shim && !status.isDead && status.name.hasPrefix("runc")
    }
  }
}
