import ContainerdAPI
import RPCCore
import Testing

@testable import OCIShim

@Suite("What is said of a checkpoint that fails")
struct CheckpointFailureTests {
  private func failure(_ words: String, log: String?) async throws -> String {
    var message = ""
    try await TaskFixture.with { fixture in
      _ = try await fixture.create()
      _ = try await fixture.start()
      try fixture.fake.directory.write("fail-checkpoint", words)
      let work = try TemporaryDirectory()
      if let log { try work.write("dump.log", log) }
      var options = Containerd_Runc_V1_CheckpointOptions()
      options.workPath = work.path
      var request = Containerd_Task_V3_CheckpointTaskRequest()
      request.id = "a"
      request.path = "\(work.path)/image"
      request.options = try TypeURL.pack(options)
      do {
        _ = try await fixture.service.checkpoint(request, context: fixture.context)
        Issue.record("it succeeded")
      } catch let error as RPCError {
        message = error.message
      }
      #expect(try await fixture.state().status == .running)
    }
    return message
  }

  @Test("without CRIU it is named")
  func missing() async throws {
    let message = try await failure("CRIU version check failed: exec: criu: not found", log: nil)
    #expect(message.contains("CRIU version check failed"))
    #expect(message.contains("Debian's package is criu"), "\(message)")
  }

  @Test("what CRIU first ran into is told, and where the rest is")
  func log() async throws {
    let message = try await failure(
      "criu failed: type DUMP errno 0",
      log: "(0.1) begins\n(0.2) Error (criu/vdso.c:381): bounds\n(0.3) Error (criu/x.c:1): more\n")
    #expect(message.contains("criu failed: type DUMP errno 0"))
    #expect(message.contains("CRIU says: (0.2) Error (criu/vdso.c:381): bounds"), "\(message)")
    #expect(message.contains("/dump.log") && !message.contains("more"))
  }
}
