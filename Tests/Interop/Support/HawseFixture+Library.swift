import ContainerdClient
import Glibc
import ShimManagement
import Testing

/// Tasks made by the library in the test's own process, as `hawse task run` makes them.
extension HawseFixture {
  private var options: RuncOptions {
    var options = RuncOptions()
    options.root = "\(state)/runc"
    return options
  }

  /// Attaches a task that will run a script; its line to the shim is the manager's.
  func attach(
    _ id: String, to sandbox: String, _ manager: ShimManager, _ script: String
  ) async throws -> ShimTask {
    note(id)
    var spec = try OCISpec.standard(
      id: id, namespace: namespace, args: ["sh", "-c", script], rootfs: rootfs)
    SandboxMark.markTask(&spec, ofSandbox: sandbox)
    return try await manager.attach(
      .init(
        namespace: namespace, id: id, sandboxID: sandbox, mode: .version2, spec: spec.bytes(),
        options: options.packed()))
  }

  /// What the task is created with: no streams.
  func creation(of task: ShimTask) throws -> TaskCreation {
    TaskCreation(id: task.id, bundle: task.bundle.path, options: try options.packed())
  }

  /// How many connections this fixture's shims have accepted and not closed.
  var connectionsToShims: Int {
    let sockets = Set(shimSockets)
    return HostFiles.lines("/proc/net/unix").filter { line in
      // Num RefCount Protocol Flags Type St Inode Path; 03 is SS_CONNECTED.
      let fields = line.split(separator: " ")
      return fields.count > 7 && fields[5] == "03" && sockets.contains(String(fields[7]))
    }.count
  }

  /// Writes a file of the test's.
  func file(_ name: String, _ bytes: [UInt8]) throws -> String {
    let path = "\(directory)/\(name)"
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    try #require(descriptor >= 0, "errno \(errno)")
    defer { close(descriptor) }
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      try #require(count > 0, "errno \(errno)")
      rest = rest.dropFirst(count)
    }
    return path
  }
}
