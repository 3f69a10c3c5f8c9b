import ContainerdAPI
import Glibc
import ProcessSupervision
import RPCCore
import ShimProtocol
import ShimTestKit
import SwiftProtobuf
import TTRPC
import Testing

@testable import ShimKit

@Suite("Starting a shim", .timeLimit(.minutes(5)))
struct StartTests {
  @Test(
    "every generation of daemons gets its answer, whatever the author prints",
    arguments: FakeDaemon.Generation.allCases, [false, true])
  func generations(_ daemon: FakeDaemon.Generation, _ noise: Bool) async throws {
    try await ShimFixture.with { fixture in
      let reply = try fixture.started(
        try await fixture.start("web", as: daemon, environment: noise ? ["KITTEST_NOISE=1"] : []))
      switch daemon {
      case .v1_6: #expect(reply.dialect == .plain && reply.params.version == 2)
      case .v1_7: #expect(reply.dialect == .json && reply.params.version == 2)
      case .v2_3: #expect(reply.dialect == .protobuf && reply.params.version == 3)
      }
      #expect(
        reply.params.address
          == SocketName.address(
            daemonAddress: fixture.daemon.address, namespace: "tests", id: "web",
            directory: fixture.sockets))
      #expect(fixture.has("web/address") == (daemon != .v2_3))
      let pid = try await fixture.pid(at: reply.params.address)
      let status = try #require(ProcessStatus(pid: pid))
      #expect(status.session == pid && status.group == pid)
      try await fixture.shutDown(reply.params.address)
      try await fixture.noProcess()
      #expect(try fixture.leftovers() == [])
      #expect(!fixture.has("web/address") && !fixture.has("web/s"))
    }
  }

  @Test("both versions of the task service are served, and the rest is Unimplemented")
  func versions() async throws {
    try await ShimFixture.with { fixture in
      let address = try fixture.started(try await fixture.start("web")).params.address
      try await fixture.call(address) { client in
        let third = Containerd_Task_V3_TaskClient(caller: client)
        _ = try await third.create(.with { $0.id = "web" })
        let second = Containerd_Task_V2_TaskClient(caller: client)
        _ = try await second.delete(.with { $0.id = "web" })
        let unknown = await #expect(throws: RPCError.self) { try await third.pause(.init()) }
        #expect(unknown?.code == .unimplemented)
        let service = await #expect(throws: RPCError.self) {
          let method = RPCMethod(service: "containerd.runtime.sandbox.v1.Sandbox", name: "Ping")
          _ = try await client.unary(
            method, Google_Protobuf_Empty(), returning: Google_Protobuf_Empty.self,
            options: RPCCallOptions())
        }
        #expect(service?.code == .unimplemented)
      }
      try await fixture.shutDown(address)
      try await fixture.noProcess()
    }
  }

  @Test("who starts with a group that is there is served by its shim, and told what that one is")
  func reuse() async throws {
    try await ShimFixture.with { fixture in
      let first = try fixture.started(
        try await fixture.start("one", group: "pod", environment: ["KITTEST_VERSIONS=2"]))
      let pid = try await fixture.pid(at: first.params.address)
      // This binary serves 3 as well, the one that runs does not.
      let second = try fixture.started(
        try await fixture.start("two", group: "pod", as: .v2_3))
      #expect(second.params.address == first.params.address && second.params.version == 2)
      #expect(try await fixture.pid(at: second.params.address) == pid)
      #expect(fixture.processes().map(\.pid) == [pid])
      #expect(fixture.has("two/s"))
      try await fixture.shutDown(first.params.address)
      try await fixture.noProcess()
      // The next one is a new one.
      let third = try fixture.started(try await fixture.start("two", group: "pod", as: .v2_3))
      #expect(third.params.version == 3)
      #expect(try await fixture.pid(at: third.params.address) != pid)
    }
  }

  @Test("a shim that was killed is replaced, and its socket taken over")
  func takeover() async throws {
    try await ShimFixture.with { fixture in
      let first = try fixture.started(try await fixture.start("web"))
      let pid = try await fixture.pid(at: first.params.address)
      kill(pid, SIGKILL)
      try await fixture.noProcess()
      #expect(try fixture.leftovers().count == 1)
      let second = try fixture.started(try await fixture.start("web"))
      #expect(second.params.address == first.params.address)
      #expect(try await fixture.pid(at: second.params.address) != pid)
    }
  }

  @Test("twenty starts of one group at once give one shim")
  func crowd() async throws {
    try await ShimFixture.with { fixture in
      let addresses = try await withThrowingTaskGroup(of: String.self) { group in
        for number in 0..<20 {
          group.addTask {
            let daemon = FakeDaemon.Generation.allCases[number % 3]
            let output = try await fixture.start("c\(number)", group: "pod", as: daemon)
            return try fixture.started(output).params.address
          }
        }
        return try await group.reduce(into: Set<String>()) { $0.insert($1) }
      }
      #expect(addresses.count == 1)
      #expect(fixture.processes().count == 1)
      #expect(try fixture.leftovers().count == 1, "the lock is gone")
      try await fixture.shutDown(try #require(addresses.first))
      try await fixture.noProcess()
      #expect(try fixture.leftovers() == [])
    }
  }

  @Test(
    "a start that fails says why, and leaves nothing behind",
    arguments: ["before", "after"])
  func failure(_ step: String) async throws {
    try await ShimFixture.with { fixture in
      let output = try await fixture.start("web", environment: ["KITTEST_FAIL=\(step)"])
      #expect(output.status == .exited(1) && output.standardOutput == [])
      let text = String(decoding: output.standardError, as: UTF8.self)
      #expect(text.contains("as the test wants it, \(step) the spawn"))
      try await fixture.noProcess()
      #expect(fixture.has("web/failed-after") == (step == "after"), "the hook was told the pid")
      #expect(try fixture.leftovers() == [])
      #expect(!fixture.has("web/address") && !fixture.has("web/s"))
    }
  }

  @Test("a program at the address that is no shim is left alone, and named")
  func stranger() async throws {
    try await ShimFixture.with { fixture in
      let address = SocketName.address(
        daemonAddress: fixture.daemon.address, namespace: "tests", id: "web",
        directory: fixture.sockets)
      let server = TTRPCServer()
      try await serving(server, at: String(address.dropFirst("unix://".count))) {
        let output = try await fixture.start("web")
        #expect(output.status == .exited(1))
        let text = String(decoding: output.standardError, as: UTF8.self)
        #expect(text.contains("no shim to join"), "\(text)")
      }
    }
  }

  @Test("what is no request is refused before anything is made")
  func damaged() async throws {
    try await ShimFixture.with { fixture in
      let bundle = try fixture.bundle("web")
      let output = try await Command(
        ShimFixture.shim, arguments: ["-namespace", "tests", "-id", "web", "start"],
        environment: ["KITTEST_SOCKETS=\(fixture.sockets)"], directory: bundle
      ).run(input: Array("not a message".utf8), timeout: .seconds(60))
      #expect(output.status == .exited(1) && output.standardOutput == [])
      #expect(!fixture.has("s"))
    }
  }

  @Test("a directory of sockets that others can write to is not used")
  func unsafeDirectory() async throws {
    try await ShimFixture.with { fixture in
      try #require(mkdir(fixture.sockets, 0o700) == 0)
      try #require(chmod(fixture.sockets, 0o777) == 0)
      let output = try await fixture.start("web")
      #expect(output.status == .exited(1))
      let text = String(decoding: output.standardError, as: UTF8.self)
      #expect(text.contains("Others than this user can write to it"))
    }
  }
}
