import ContainerdAPI
import RPCCore
import Testing

@testable import OCIShim

/// With a runtime that only does as if: what CRIU itself does is tested where there is one.
@Suite("Checkpoint and restore")
struct CheckpointTests {
  private func checkpoint(_ fixture: TaskFixture) async throws {
    var request = Containerd_Task_V3_CheckpointTaskRequest()
    request.id = "a"
    request.path = "/images/one"
    _ = try await fixture.service.checkpoint(request, context: fixture.context)
  }

  @Test("one that succeeds is told, and CRIU's work is removed")
  func taken() async throws {
    try await TaskFixture.with { fixture in
      _ = try await fixture.create()
      _ = try await fixture.start()
      try await checkpoint(fixture)
      let work = "\(fixture.bundle.path)/criu-work"
      #expect(
        fixture.fake.calls.last?.contains(
          "checkpoint --image-path /images/one --work-path \(work)") == true)
      #expect(fixture.sink.lines.last == "checkpointed a /images/one")
      #expect(try !fixture.bundle.names().contains { $0.hasPrefix("criu") })
    }
  }

  @Test("of one that fails CRIU's log is kept, and the rest of its work removed")
  func failed() async throws {
    try await TaskFixture.with { fixture in
      _ = try await fixture.create()
      _ = try await fixture.start()
      try fixture.fake.directory.write("fail-checkpoint", "criu failed")
      for _ in 0..<2 {
        let error = await #expect(throws: RPCError.self) { try await checkpoint(fixture) }
        #expect(error?.message.contains("CRIU says: (0.1) Error (x.c:1): words") == true)
        #expect(error?.message.contains("\(fixture.bundle.path)/criu-dump.log") == true)
      }
      #expect(try fixture.bundle.names().filter { $0.hasPrefix("criu") } == ["criu-dump.log"])
      #expect(!fixture.sink.lines.contains { $0.hasPrefix("checkpointed") })
    }
  }

  @Test("a container is restored when it is started, from its checkpoint and that one's parent")
  func restored() async throws {
    try await TaskFixture.with { fixture in
      let none = try await fixture.create {
        $0.checkpoint = "/images/two"
        $0.parentCheckpoint = "/images/one"
      }
      #expect(none == 0 && fixture.fake.calls == [])
      #expect(try await fixture.state().status == .created)
      let pid = try await fixture.start()
      let call = try #require(fixture.fake.calls.last)
      #expect(call.contains("restore --image-path /images/two"))
      #expect(call.contains("--parent-path /images/one"))
      #expect(try await fixture.state().pid == pid && pid > 0)
      fixture.exits.end(pid, status: 3)
      #expect(try await fixture.wait().exitStatus == 3)
      #expect(fixture.sink.lines == ["create a", "start a", "exit a 3"])
    }
  }
}
