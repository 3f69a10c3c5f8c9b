import ContainerdAPI
import Glibc
import LinuxSystem
import ProcessSupervision
import RPCCore
import ShimProtocol
import ShimTestKit
import SwiftProtobuf
import TTRPC
import Testing

@Suite("A fake daemon")
struct FakeDaemonTests {
  /// The tests' own file is beside what they run.
  private static let shim: String = {
    let own = (try? linkTarget("/proc/self/exe")) ?? ""
    return own[..<(own.lastIndex(of: "/") ?? own.endIndex)] + "/containerd-shim-kittest-v1"
  }()

  @Test(
    "starts, calls and deletes a shim as its generation does",
    arguments: [
      (FakeDaemon.Generation.v1_6, BootstrapReply.Dialect.plain), (.v1_7, .json),
      (.v2_3, .protobuf),
    ])
  func life(generation: FakeDaemon.Generation, dialect: BootstrapReply.Dialect) async throws {
    let sockets = try ScratchDirectory()
    let daemon = try FakeDaemon(generation)
    let environment = ["KITTEST_SOCKETS=\(sockets.path)"]
    let shim = try await daemon.start(Self.shim, id: "web", environment: environment)
    #expect(shim.dialect == dialect)
    let pid = try await daemon.withClient(of: shim) { client in
      let tasks = Containerd_Task_V2_TaskClient(caller: client)
      let pid = try await tasks.connect(.with { $0.id = "web" }).shimPid
      _ = try await tasks.shutdown(.with { $0.id = "web" })
      return Int32(pid)
    }
    if let process = ProcessIdentity(pid: pid) {
      #expect(await process.waitForEnd(within: .seconds(60)))
    }
    let end = try await daemon.delete(Self.shim, id: "web", environment: environment)
    #expect(end.exitStatus == 137)
    await daemon.stop()
  }

  @Test("a shim that prints what is no answer is an error that quotes it")
  func noShim() async throws {
    let daemon = try FakeDaemon(.v1_7)
    let error = await #expect(throws: ShimTestKitError.self) {
      try await daemon.start("/bin/echo", id: "web")
    }
    #expect(error?.code == .shimFailed)
    #expect(error?.description.contains("-namespace tests") == true)
    await daemon.stop()
  }

  @Test("what is written to the log fifo is read, and nobody waits for it")
  func log() async throws {
    let daemon = try FakeDaemon(.v1_7)
    try daemon.makeBundle("web")
    let file = try OwnedDescriptor(opening: "\(daemon.bundle("web"))/log", O_WRONLY)
    try file.write(Array("one\ntwo\n".utf8))
    #expect(try daemon.log(of: "web") == "one\ntwo\n")
    #expect(try daemon.log(of: "web") == "")
    #expect(try daemon.log(of: "other") == "")
    await daemon.stop()
  }

  @Test("events that do not come are an error that tells which did")
  func noEvents() async throws {
    let daemon = try FakeDaemon(.v1_7)
    let error = await #expect(throws: ShimTestKitError.self) {
      try await daemon.events.wait(within: .milliseconds(50)) { $0.count == 1 }
    }
    #expect(error?.code == .timedOut)
    await daemon.stop()
  }
}
