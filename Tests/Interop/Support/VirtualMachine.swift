import Glibc
import ProcessSupervision
import Testing

/// A guest under QEMU's software emulation, which runs vsock-guest-peer and nothing else.
final class VirtualMachine: Sendable {
  let cid: UInt32
  /// Where vhost-device-vsock waits for QEMU.
  let device: String
  /// The hybrid vsock socket: where programs of the host reach the guest.
  let socket: String
  let child = Guarded<ChildProcess?>(nil)

  private let directory: String
  private let kit: VirtualMachineKit
  private let tether: CommandTether
  private let boots = Guarded(0)

  init(cid: UInt32, directory: String, kit: VirtualMachineKit, tether: CommandTether) {
    self.cid = cid
    self.directory = directory
    self.kit = kit
    self.tether = tether
    device = "\(directory)/\(cid).vhost"
    socket = "\(directory)/\(cid).vsock"
  }

  /// Everything that the guest has printed since it was last started.
  var console: String { HostFiles.text(consolePath) }
  private var consolePath: String { "\(directory)/\(cid).console-\(boots.value)" }

  /// QEMU has come as far as to open the guest's console.
  var isPoweredOn: Bool { HostFiles.exists(consolePath) }

  /// The lines of the guest's program, which begin with `guest: `, without that.
  var lines: [String] {
    console.split(whereSeparator: \.isNewline).compactMap { line in
      // The firmware leaves escape sequences in front of the first line.
      line.firstRange(of: "guest: ").map { String(line[$0.upperBound...]) }
    }
  }

  /// Boots. - Parameter arguments: what the guest's program is to do.
  func start(_ arguments: String...) throws {
    boots.update { $0 += 1 }
    let log = open("\(directory)/\(cid).qemu.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    try #require(log >= 0, "errno \(errno)")
    defer { close(log) }
    child.set(
      try tether.spawn(
        kit.machine(device: device, console: consolePath, arguments: arguments), output: log))
  }

  /// Waits until the guest has printed a line.
  func said(_ line: String, within limit: Duration = .seconds(120)) async throws {
    try await eventually("guest \(cid) says \(line)", within: limit) {
      if lines.contains(line) { return true }
      // A machine that is gone says nothing more.
      guard let child = child.value, ProcessStatus(pid: child.pid)?.isDead == false else {
        throw VirtualMachineKit.Failure(
          description: "guest \(cid) is gone and never said \(line): \(qemuLog)\n\(console)")
      }
      return false
    }
  }

  /// Waits until the guest's program has ended and the guest has powered off.
  ///
  /// - Returns: the program's status.
  func end(within limit: Duration = .seconds(240)) async throws -> Int32 {
    let child = try #require(child.value)
    _ = try await within(limit, "the end of guest \(cid)") { try await child.wait() }
    let start = "ended with status "
    let last = try #require(
      lines.last { $0.hasPrefix(start) }, "guest \(cid): \(qemuLog)\n\(console)")
    return try #require(Int32(last.dropFirst(start.count)))
  }

  /// Takes the guest away, as a power cut would.
  func kill() async throws {
    let child = try #require(child.value)
    // The tether kills QEMU, waits for its end, and ends.
    child.signal(SIGTERM)
    _ = try await within(.seconds(30), "the end of guest \(cid)") { try await child.wait() }
  }

  private var qemuLog: String { HostFiles.text("\(directory)/\(cid).qemu.log") }
}
