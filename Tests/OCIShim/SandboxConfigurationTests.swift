import ProcessSupervision
import Testing

@testable import OCIShim

@Suite("A pod's configuration")
struct SandboxConfigurationTests {
  /// One field with bytes in it.
  private static func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
    [number << 3 | 2, UInt8(bytes.count)] + bytes
  }

  /// A PodSandboxConfig with these namespace options, and what else its Linux part has.
  private static func pod(_ options: [UInt8], linux: [UInt8] = [], hostname: String = "")
    -> [UInt8]
  {
    field(2, Array(hostname.utf8)) + field(8, linux + field(2, field(1, options)))
  }

  @Test("namespaces are what Kubernetes asks for: POD is the default, for pids too")
  func namespaces() throws {
    #expect(try PodConfiguration(Self.pod([])).namespaces == [.uts, .ipc, .pid])
    #expect(try PodConfiguration([]).namespaces == [.uts, .ipc, .pid])
    // pid: CONTAINER; pid: NODE; ipc: NODE.
    #expect(try PodConfiguration(Self.pod([2 << 3, 1])).namespaces == [.uts, .ipc])
    #expect(try PodConfiguration(Self.pod([2 << 3, 2])).namespaces == [.uts, .ipc])
    #expect(try PodConfiguration(Self.pod([3 << 3, 2])).namespaces == [.uts, .pid])
    #expect(PodConfiguration().namespaces == [.uts, .ipc])
  }

  @Test("the host name and kernel parameters are read; what is not known is passed over")
  func others() throws {
    let sysctl = Self.field(
      3, Self.field(1, Array("net.core.somaxconn".utf8)) + Self.field(2, Array("9".utf8)))
    let unknown: [UInt8] = [15 << 3 | 0, 0x80, 1] + [14 << 3 | 5, 1, 2, 3, 4]
    let read = try PodConfiguration(
      unknown + Self.pod([], linux: sysctl, hostname: "web") + unknown)
    #expect(read.hostname == "web" && read.sysctls == ["net.core.somaxconn": "9"])
    try read.validate(hasOwnNetwork: true)
  }

  @Test(
    "what is cut off or no message is refused",
    arguments: [
      [2 << 3 | 2], [2 << 3 | 2, 5, 1], [0], [0xff], [2 << 3 | 3],
      [8 << 3 | 2, 2, 2 << 3 | 2, 9], [1 << 3 | 0] + [UInt8](repeating: 0x80, count: 12),
    ] as [[UInt8]])
  func malformed(_ bytes: [UInt8]) throws {
    let error = #expect(throws: OCIShimError.self) { try PodConfiguration(bytes) }
    #expect(error?.code == .invalidOptions)
  }

  @Test("a user namespace of the pod's own is refused, the host's is not")
  func userNamespace() throws {
    let own = try PodConfiguration(Self.pod(Self.field(5, [])))
    #expect(throws: OCIShimError.self) { try own.validate(hasOwnNetwork: true) }
    let host = try PodConfiguration(Self.pod(Self.field(5, [1 << 3, 2])))
    try host.validate(hasOwnNetwork: true)
  }

  @Test(
    "a kernel parameter that is not of the pod's own namespaces is refused",
    arguments: [
      ("kernel.shm_rmid_forced", true), ("kernel.sem", true), ("kernel.msgmax", true),
      ("fs.mqueue.msg_max", true), ("net.ipv4.ip_forward", true), ("kernel.panic", false),
      ("vm.overcommit_memory", false), ("fs.file-max", false), ("net..x", false), ("", false),
      ("net/../kernel/panic", false), ("kernel.hostname", false), ("net.a=b", false),
    ])
  func parameters(_ name: String, _ isTaken: Bool) throws {
    var configuration = PodConfiguration()
    configuration.sysctls = [name: "1"]
    func isValid(_ hasOwnNetwork: Bool) -> Bool {
      // The error is the answer.
      (try? configuration.validate(hasOwnNetwork: hasOwnNetwork)) != nil
    }
    #expect(isValid(true) == isTaken)
    #expect(isValid(false) == (isTaken && !name.hasPrefix("net.")))
    configuration.hasHostIPC = true
    #expect(isValid(true) == (isTaken && name.hasPrefix("net.")))
  }

  @Test("a host name that the kernel does not take is refused before anything is made")
  func hostname() {
    var configuration = PodConfiguration()
    configuration.hostname = String(repeating: "h", count: 65)
    #expect(throws: OCIShimError.self) { try configuration.validate(hasOwnNetwork: true) }
  }
}
