import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

/// Guests on one vhost-device-vsock, in a folder of their own. Siblings: they reach each other.
///
/// Nothing outlives the process that made it: see Peers/vm/tether.
final class VirtualMachines: Sendable {
  let kit: VirtualMachineKit
  let directory: String
  let machines: [VirtualMachine]
  /// What everything hangs on.
  private let tether: CommandTether
  private let keeper: ChildProcess
  private let daemon = Guarded<ChildProcess?>(nil)

  /// - Parameters:
  ///   - cids: of the guests, none of which runs yet.
  ///   - fill: puts files into a folder, which are added to the guests' initial file system, or take
  ///     the place of those that are there.
  init(
    _ kit: VirtualMachineKit, cids: [UInt32],
    adding fill: (@Sendable (String) async throws -> Void)? = nil
  ) async throws {
    var template = Array("/tmp/hawsepipe-vm-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil, "mkdtemp: errno \(errno)")
    let directory = String(
      decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let tether = try CommandTether()
    var kit = kit
    if let fill { kit.initrd = try await Self.add(to: kit, in: directory, fill) }
    self.kit = kit
    self.directory = directory
    self.tether = tether
    machines = cids.map { VirtualMachine(cid: $0, directory: directory, kit: kit, tether: tether) }
    // Removes the folder, whoever else is left to do anything.
    keeper = try tether.spawn(
      VirtualMachineKit.tethered(["/bin/sleep", "infinity"], removing: directory))
  }

  /// The kernel unpacks archives that follow each other one after the other.
  private static func add(
    to kit: VirtualMachineKit, in directory: String, _ fill: (String) async throws -> Void
  ) async throws -> String {
    let tree = "\(directory)/tree"
    try #require(mkdir(tree, 0o700) == 0, "errno \(errno)")
    try await fill(tree)
    let script = """
      set -eu
      { cat "$1"; find . | LC_ALL=C sort | busybox cpio -o -H newc 2>/dev/null; } >../initrd
      cd .. && rm -rf tree
      """
    let packed = try await Command(
      "/bin/sh", arguments: ["-c", script, "sh", kit.initrd],
      environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], directory: tree
    ).run(timeout: .seconds(60))
    try #require(
      packed.status.isSuccess, "\(String(decoding: packed.standardError, as: UTF8.self))")
    return "\(directory)/initrd"
  }

  /// Runs a body with guests of its own, and ends them behind it.
  ///
  /// - Parameter quietly: does not say what the guests had printed when the body throws.
  static func use(
    cids: [UInt32], adding fill: (@Sendable (String) async throws -> Void)? = nil,
    quietly: Bool = false, _ body: (VirtualMachines) async throws -> Void
  ) async throws {
    let machines = try await VirtualMachines(
      try await VirtualMachineKit.ready(), cids: cids, adding: fill)
    do {
      try await body(machines)
    } catch {
      if !quietly { machines.report() }
      await machines.end()
      throw error
    }
    await machines.end()
  }

  /// Starts the daemon with a device for each guest.
  func startDevices() async throws {
    // Linux 7 puts packets of more than 32 KiB into several descriptors, of which vhost-device-vsock
    // 0.3.0 takes one: the guest's bytes are lost unless it is told of less room than its 64 KiB.
    let arguments = machines.flatMap { machine in
      [
        "--vm",
        "guest-cid=\(machine.cid),socket=\(machine.device),uds-path=\(machine.socket),"
          + "tx-buffer-size=16384",
      ]
    }
    let log = open("\(directory)/daemon.log", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    try #require(log >= 0, "errno \(errno)")
    defer { close(log) }
    daemon.set(try tether.spawn(kit.tethered("vhost-device-vsock", arguments), output: log))
    for machine in machines {
      try await eventually("vhost-device-vsock serves \(machine.device)") {
        HostFiles.exists(machine.device)
      }
    }
  }

  /// Lets go of the tether and waits for everything that hung on it to be gone.
  func end() async {
    tether.cut()
    let children =
      [keeper, daemon.value].compactMap { $0 } + machines.compactMap { $0.child.value }
    for child in children {
      do {
        _ = try await within(.seconds(30), "the end of a tethered process") {
          try await child.wait()
        }
      } catch {
        Issue.record(error)
      }
    }
    if HostFiles.exists(directory) { Issue.record("\(directory) is still there") }
  }

  /// Says what guests and daemon printed.
  func report() {
    print("vm: vhost-device-vsock said:\n\(HostFiles.text("\(directory)/daemon.log"))")
    for machine in machines { print("vm: guest \(machine.cid) said:\n\(machine.console)") }
  }
}

/// The pipe that tethered processes read from: at its end, they end.
final class CommandTether: Sendable {
  private let reader: Int32
  /// -1 when it is cut.
  private let writer: Guarded<Int32>

  init() throws {
    let ends = try Pipe().takeBoth()
    reader = ends.0
    writer = Guarded(ends.1)
  }

  deinit {
    cut()
    close(reader)
  }

  /// - Parameters:
  ///   - output: becomes its standard output; stays the caller's.
  ///   - errors: becomes its standard error; `nil`: `output`.
  func spawn(
    _ command: Command, output: Int32? = nil, errors: Int32? = nil
  ) throws -> ChildProcess {
    var command = command
    command.descriptors[0] = reader
    command.descriptors[1] = output
    command.descriptors[2] = errors ?? output
    return try command.spawn()
  }

  /// Closes this process's end, which is the only one.
  func cut() {
    writer.update { writer in
      if writer >= 0 { close(writer) }
      writer = -1
    }
  }
}
