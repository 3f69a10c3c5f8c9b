import ContainerdAPI
import ContainerdClient
import Glibc
import Measuring
import RPCCore
import ShimManagement
import TransportCore
import UnixTransport

/// A sandbox, the tasks that are attached to it one after the other, and their controller.
struct Crowd: Sendable {
  let shim: String
  let runtime: String
  let directory: String
  let count: Int

  private static let namespace = "bench"

  func run() async throws {
    let state = StateDirectory(state: "\(directory)/state", root: "\(directory)/root")
    let manager = try ShimManager(
      .init(
        directory: state, registry: TransportRegistry([UnixConnector()]),
        environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]))
    let receiver = EventsReceiver(directory: state)
    try receiver.prepare()
    let events = Task { await receiver.run { _ in } }
    defer { events.cancel() }
    let sandbox = try await manager.createSandbox(
      .init(namespace: Self.namespace, id: "pod", runtime: shim))
    try await sandbox.start()
    let outcome: Result<String, any Error>
    do {
      outcome = .success(try await fill(sandbox, manager))
    } catch {
      outcome = .failure(error)
    }
    try await sandbox.stop()
    try await manager.shutDown(sandbox)
    print(try outcome.get())
  }

  /// - Returns: the line to print.
  private func fill(_ sandbox: ShimSandbox, _ manager: ShimManager) async throws -> String {
    // What is made once is no task's.
    for index in 0..<50 {
      let (task, _) = try await attach("early-\(index)", to: sandbox, manager)
      try await end(task, manager)
    }

    let before = try await Footprint.whenQuiet()
    var times: [Times] = []
    var tasks: [ShimTask] = []
    times.reserveCapacity(count)
    tasks.reserveCapacity(count)
    for index in 0..<count {
      let (task, took) = try await attach("task-\(index)", to: sandbox, manager)
      tasks.append(task)
      times.append(took)
    }
    let attached = try await Footprint.whenQuiet()
    let connections = try connections(to: sandbox)
    let waits = tasks.map { task in Task { try await task.wait() } }
    let waiting = try await Footprint.whenQuiet()

    for task in tasks { try await end(task, manager) }
    for wait in waits { _ = try await wait.value }
    return """
      {"attach": \(times.map(\.attach)), "create": \(times.map(\.create)), \
      "start": \(times.map(\.start)), "before": \(before.json), "attached": \(attached.json), \
      "waiting": \(waiting.json), "connections": \(connections)}
      """
  }

  /// Microseconds.
  private struct Times {
    var attach: UInt64
    var create: UInt64
    var start: UInt64
  }

  private func attach(
    _ id: String, to sandbox: ShimSandbox, _ manager: ShimManager
  ) async throws -> (ShimTask, Times) {
    var options = Containerd_Runc_V1_Options()
    options.binaryName = runtime
    options.root = "\(directory)/runtime"
    let packed = try TypeURL.pack(options)
    let spec = try OCISpec.standard(
      id: id, namespace: Self.namespace, args: ["sleep"], rootfs: "/"
    ).bytes()
    let began = now()
    // What our shim answers; it takes many tasks in either version.
    let task = try await manager.attach(
      .init(
        namespace: Self.namespace, id: id, sandboxID: sandbox.id, mode: .version2, spec: spec,
        options: packed))
    let attached = now()
    _ = try await task.create(
      TaskCreation(id: id, bundle: task.bundle.path, options: packed))
    let created = now()
    try await task.start()
    let times = Times(
      attach: (attached - began) / 1000, create: (created - attached) / 1000,
      start: (now() - created) / 1000)
    return (task, times)
  }

  private func end(_ task: ShimTask, _ manager: ShimManager) async throws {
    try await task.call("kill") { client throws(RPCError) in
      try await client.kill(task.id, signal: UInt32(SIGKILL), timeout: .seconds(10))
    }
    _ = try await task.wait(timeout: .seconds(10))
    try await manager.delete(task)
  }

  /// How many connections the shim has accepted and not closed: its ends have the socket's name.
  private func connections(to sandbox: ShimSandbox) throws -> Int {
    guard case .unix(let path) = sandbox.address.place else {
      throw Problem("\(sandbox.address) is no unix socket")
    }
    return try lines(of: "/proc/net/unix").count { line in
      // Num RefCount Protocol Flags Type St Inode Path; 03 is SS_CONNECTED.
      let fields = line.split(separator: " ")
      return fields.count > 7 && fields[5] == "03" && fields[7] == path
    }
  }
}
