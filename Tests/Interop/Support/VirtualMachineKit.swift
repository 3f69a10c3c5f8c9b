import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

/// What guests are made of, made or fetched once a test run by the scripts in Peers/vm.
struct VirtualMachineKit: Sendable, Codable {
  /// Debian forky's QEMU, vhost-device-vsock, kernel and modules: see Peers/vm/fetch.
  var forky: String
  /// The guest's initial file system, with vsock-guest-peer in it: see Peers/vm/guest.
  var initrd: String

  struct Failure: Error, CustomStringConvertible { var description: String }

  private static let made = Task { try await make() }

  /// The kit. The first caller waits for a download of some 80 MB if nothing is cached, and for the
  /// build of the guest's program.
  static func ready() async throws -> VirtualMachineKit { try await made.value }

  private static func make() async throws -> VirtualMachineKit {
    let began = ContinuousClock.now
    let lines = try await script("guest", timeout: .seconds(1500))
    try #require(lines.count == 2, "Peers/vm/guest printed \(lines)")
    print("vm: what guests are made of was there after \(ContinuousClock.now - began)")
    return VirtualMachineKit(forky: lines[0], initrd: lines[1])
  }

  private static let folder =
    "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Peers/vm"

  /// Runs a script to its end, with its progress shown here.
  ///
  /// - Returns: the lines that it printed.
  private static func script(_ name: String, timeout: Duration) async throws -> [String] {
    let path = "/tmp/hawsepipe-vm-\(UInt64.random(in: 0...UInt64.max))"
    let output = try OwnedDescriptor(opening: path, O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
    // It is reached through the descriptor.
    unlink(path)
    // Swift and apt are wherever the user has them.
    let environment = ["PATH", "HOME", "TMPDIR"].compactMap { (name: String) -> String? in
      getenv(name).map { "\(name)=\(String(cString: $0))" }
    }
    let tether = try CommandTether()
    defer { tether.cut() }
    let child = try tether.spawn(
      Command("\(folder)/\(name)", environment: environment), output: output.number, errors: 2)
    let status = try await within(timeout, "the end of \(name)") { try await child.wait() }
    guard status.isSuccess else {
      throw Failure(
        description: """
          Tests/Interop/Peers/vm/\(name) ended with \(status), see above; the virtual machine tests \
          need what it makes. Run it by itself until it works, and these tests again.
          \(earlierLog)
          """)
    }
    return HostFiles.lines("/proc/self/fd/\(output.number)").map(String.init)
  }

  /// What Scripts/test's own run of `guest` said, if it was that which runs the tests.
  private static var earlierLog: String {
    let path = folder + "/../../../../.build/interop/guest.log"
    guard HostFiles.exists(path) else { return "" }
    return "Before that, in the background of Scripts/test, it said:\n"
      + HostFiles.lines(path).suffix(40).joined(separator: "\n")
  }

  // MARK: Versions

  /// The versions of the packages, by their names.
  var versions: [String: String] {
    let pairs = HostFiles.lines("\(forky)/versions").compactMap { line -> (String, String)? in
      let halves = line.split(separator: "=", maxSplits: 1)
      return halves.count == 2 ? (String(halves[0]), String(halves[1])) : nil
    }
    // A package is named once: each has a file of its own.
    return Dictionary(pairs) { first, _ in first }
  }

  /// The numbers of a Debian version's upstream part: 11 and 1 of `1:11.1~rc2+ds-3`.
  static func numbers(_ version: String) -> [Int] {
    let withoutEpoch = version.split(separator: ":", maxSplits: 1).last ?? ""
    return withoutEpoch.prefix { $0.isNumber || $0 == "." }.split(separator: ".")
      .compactMap { Int($0) }
  }

  // MARK: Processes

  /// A program of the forky folder, run with that folder's loader and libraries, and tethered: it ends
  /// when the pipe that is its standard input loses its last writer, however that comes about.
  ///
  /// - Parameter folder: removed when the program has ended.
  func tethered(
    _ program: String, _ arguments: [String], removing folder: String = "-"
  ) -> Command {
    let libraries = "\(forky)/usr/lib/x86_64-linux-gnu"
    return Self.tethered(
      [
        "\(libraries)/ld-linux-x86-64.so.2", "--library-path", libraries,
        "\(forky)/usr/bin/\(program)",
      ] + arguments,
      removing: folder)
  }

  static func tethered(_ command: [String], removing folder: String = "-") -> Command {
    Command(
      "\(Self.folder)/tether", arguments: [folder] + command,
      environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "QEMU_MODULE_DIR=/nonexistent"])
  }

  /// - Parameters:
  ///   - device: the socket of the machine's vsock device.
  ///   - console: a file, for everything that the guest prints.
  ///   - arguments: vsock-guest-peer's own.
  func machine(device: String, console: String, arguments: [String]) -> Command {
    tethered(
      "qemu-system-x86_64",
      [
        "-L", "\(forky)/usr/share/qemu", "-L", "\(forky)/usr/share/seabios",
        // Not KVM: where tests run, /dev/kvm may be there and not work.
        "-accel", "tcg", "-cpu", "max", "-m", "768M",
        "-object", "memory-backend-memfd,id=memory,size=768M,share=on",
        "-machine", "q35,memory-backend=memory",
        "-kernel", "\(forky)/kernel", "-initrd", initrd,
        "-append",
        "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check "
          + "-- \(arguments.joined(separator: " "))",
        "-nodefaults", "-display", "none", "-no-reboot", "-serial", "file:\(console)",
        "-chardev", "socket,id=vsock,path=\(device)",
        "-device", "vhost-user-vsock-pci,chardev=vsock",
      ])
  }
}
