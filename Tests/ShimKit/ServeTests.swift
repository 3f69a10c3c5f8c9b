import ContainerdAPI
import Glibc
import LinuxSystem
import ProcessSupervision
import RPCCore
import ShimProtocol
import SwiftProtobuf
import ShimTestKit
import Testing

@testable import ShimKit

@Suite("A shim that serves, and what is left of it", .timeLimit(.minutes(5)))
struct ServeTests {
  @Test(
    "TERM and INT end it by its callbacks, and socket and address are gone",
    arguments: [SIGTERM, SIGINT])
  func signals(_ signal: Int32) async throws {
    try await ShimFixture.with { fixture in
      let note = "\(fixture.path)/note"
      let reply = try fixture.started(
        try await fixture.start("web", environment: ["KITTEST_NOTE=\(note)"]))
      let pid = try await fixture.pid(at: reply.params.address)
      for ignored in [SIGPIPE, SIGUSR1] { kill(pid, ignored) }
      #expect(try await fixture.pid(at: reply.params.address) == pid)
      kill(pid, signal)
      kill(pid, signal)
      try await fixture.noProcess()
      #expect(try fixture.leftovers() == [])
      #expect(!fixture.has("web/address") && !fixture.has("web/s"))
      let text = try BundleFiles(path: fixture.path).read("note", limit: 1000)
      #expect(String(decoding: text, as: UTF8.self) == "shut down\n")
    }
  }

  @Test(
    "it logs to the daemon's fifo and collects children, as far as the author has it",
    arguments: [("", true, true), ("children", true, true), ("off", false, false)])
  func conduct(_ conduct: String, logs: Bool, reaps: Bool) async throws {
    try await ShimFixture.with { fixture in
      let reply = try fixture.started(
        try await fixture.start("web", environment: ["KITTEST_CONDUCT=\(conduct)"]))
      let pid = try await fixture.pid(at: reply.params.address)
      #expect(try Self.threads(of: pid).contains("hawse-reaper") == reaps)
      try await fixture.shutDown(reply.params.address)
      try await fixture.noProcess()
      let log = try fixture.daemon.log(of: "web")
      #expect(log.contains(#"msg="The shim shuts down""#) == logs, "\(log)")
    }
  }

  private static func threads(of pid: Int32) throws -> [String] {
    try OwnedDescriptor(opening: "/proc/\(pid)/task", O_RDONLY | O_DIRECTORY).names().map {
      thread in
      let file = try OwnedDescriptor(opening: "/proc/\(pid)/task/\(thread)/comm", O_RDONLY)
      return String(decoding: try file.read(atMost: 64).dropLast(), as: UTF8.self)
    }
  }

  @Test("it has its descriptors and no others, its variables and the author's")
  func inheritance() async throws {
    try await ShimFixture.with { fixture in
      let reply = try fixture.started(
        try await fixture.start("web", environment: ["MORE=1"]))
      let pid = try await fixture.pid(at: reply.params.address)
      for number in 0...1 {
        #expect(try link("/proc/\(pid)/fd/\(number)") == "/dev/null")
      }
      #expect(try link("/proc/\(pid)/fd/2") == "\(fixture.path)/web/log")
      #expect(try link("/proc/\(pid)/cwd") == "\(fixture.path)/web")
      // What /proc has is no regular file of a known size.
      let environment = try await Command("/bin/cat", arguments: ["/proc/\(pid)/environ"])
        .run(timeout: .seconds(60)).standardOutput
      let entries = environment.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
      #expect(entries.contains("MORE=1"))
      #expect(entries.contains("KITTEST_EXTRA=of the shim's own"))
      #expect(entries.contains("TTRPC_ADDRESS=\(fixture.daemon.events.path)"))
    }
  }

  @Test("a second listener serves the same")
  func second() async throws {
    try await ShimFixture.with { fixture in
      let other = "\(fixture.path)/other.sock"
      let reply = try fixture.started(
        try await fixture.start("web", environment: ["KITTEST_LISTEN=unix://\(other)"]))
      let pid = try await fixture.pid(at: reply.params.address)
      #expect(try await fixture.pid(at: "unix://\(other)") == pid)
      try await fixture.shutDown("unix://\(other)")
      try await fixture.noProcess()
      #expect(!fixture.has("other.sock"))
    }
  }

  @Test("after kill -9, delete reports the end and leaves nothing, however often it is run")
  func deleteAfterKill() async throws {
    try await ShimFixture.with { fixture in
      let reply = try fixture.started(try await fixture.start("web", group: "pod"))
      kill(try await fixture.pid(at: reply.params.address), SIGKILL)
      try await fixture.noProcess()
      for _ in 0..<2 {
        let output = try await fixture.delete("web")
        #expect(output.status.isSuccess)
        let response = try Containerd_Task_V2_DeleteResponse(
          serializedBytes: output.standardOutput)
        #expect(response.pid == 7 && response.exitStatus == 137 && response.exitedAt.seconds == 1)
        #expect(try fixture.leftovers() == [])
        #expect(!fixture.has("web/s"))
      }
    }
  }

  @Test("delete of one of a group leaves the shim that has others, and ends one that has none")
  func deleteInGroup() async throws {
    try await ShimFixture.with { fixture in
      let reply = try fixture.started(try await fixture.start("one", group: "pod"))
      _ = try fixture.started(try await fixture.start("two", group: "pod"))
      let address = reply.params.address
      try await fixture.call(address) { client in
        let task = Containerd_Task_V3_TaskClient(caller: client)
        _ = try await task.create(.with { $0.id = "two" })
      }
      #expect(try await fixture.delete("one").status.isSuccess)
      let pid = try await fixture.pid(at: address)
      #expect(fixture.processes().map(\.pid) == [pid])
      try await fixture.call(address) { client in
        let task = Containerd_Task_V3_TaskClient(caller: client)
        _ = try await task.delete(.with { $0.id = "two" })
      }
      #expect(try await fixture.delete("two").status.isSuccess)
      try await fixture.noProcess()
      #expect(try fixture.leftovers() == [])
    }
  }

  @Test("a delete that hangs ends below the daemon's limit, and says so")
  func deleteHangs() async throws {
    try await ShimFixture.with { fixture in
      _ = try fixture.bundle("web")
      let output = try await fixture.delete("web", environment: ["KITTEST_HANG=1"])
      #expect(output.status == .exited(1) && output.standardOutput == [])
      #expect(String(decoding: output.standardError, as: UTF8.self).contains("took longer"))
    }
  }

  @Test("-info and -v tell what it is")
  func information() async throws {
    let options = try TypeURL.pack(Containerd_Runc_V1_Options.with { $0.binaryName = "crun" })
    let info = try await Command(ShimFixture.shim, arguments: ["-info"])
      .run(input: try options.serializedBytes(), timeout: .seconds(60))
    let answer = try Containerd_Types_RuntimeInfo(serializedBytes: info.standardOutput)
    #expect(answer.name == "io.containerd.kittest.v1")
    #expect(answer.version.version == "1.2.3" && answer.version.revision == "abc")
    #expect(answer.options == options && answer.annotations == ["of": "the tests"])
    let version = try await Command(ShimFixture.shim, arguments: ["-v"]).run(timeout: .seconds(60))
    #expect(String(decoding: version.standardOutput, as: UTF8.self).contains("1.2.3"))
  }

  @Test("run by hand, it says that it is not run so")
  func byHand() async throws {
    let output = try await Command(
      ShimFixture.shim, arguments: ["-namespace", "tests", "-id", "web"]
    ).run(timeout: .seconds(60))
    #expect(output.status == .exited(1))
    #expect(String(decoding: output.standardError, as: UTF8.self).contains("by its own start"))
  }

  private func link(_ path: String) throws -> String {
    var text = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink(path, &text, text.count)
    try #require(count > 0)
    return String(decoding: text[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
