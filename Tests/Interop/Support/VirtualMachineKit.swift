import Glibc
import ProcessSupervision
import Testing

/// What guests are made of, made or fetched once a test run by the scripts in Peers/vm.
struct VirtualMachineKit: Sendable {
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
    let forky = try await script("fetch", [], timeout: .seconds(600))
    let initrd = try await script("guest", [forky], timeout: .seconds(1200))
    return VirtualMachineKit(forky: forky, initrd: initrd)
  }

  private static let folder =
    "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Peers/vm"

  /// Runs a script to its end and gives the last line that it prints.
  private static func script(
    _ name: String, _ arguments: [String], timeout: Duration
  ) async throws -> String {
    // Swift and apt are wherever the user has them.
    let environment = ["PATH", "HOME", "TMPDIR"].compactMap { name in
      getenv(name).map { "\(name)=\(String(cString: $0))" }
    }
    let began = ContinuousClock.now
    let run = try await Command(
      "\(folder)/\(name)", arguments: arguments, environment: environment
    ).run(timeout: timeout)
    let output = String(decoding: run.standardOutput, as: UTF8.self)
    guard run.status.isSuccess, let last = output.split(separator: "\n").last else {
      throw Failure(
        description: """
          Tests/Interop/Peers/vm/\(name) ended with \(run.status); the virtual machine tests need what \
          it makes. Run it by itself once it can work, and these tests again.
          \(output)\(String(decoding: run.standardError, as: UTF8.self))
          """)
    }
    print(output.dropLast(last.utf8.count + 1), "vm: \(name) took \(ContinuousClock.now - began)")
    return String(last)
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
        "-accel", "tcg", "-cpu", "max", "-m", "512M",
        "-object", "memory-backend-memfd,id=memory,size=512M,share=on",
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
