import ContainerdAPI
import Logging
import OCIShim
import ProcessSupervision
import RPCCore
import ShimKit
import ShimTestKit
import SwiftProtobuf
import TTRPC
import Testing

/// The OCI shim, as an author would test it: in the test's process, on a runtime of scripts.
@Suite("A shim in the test's own process")
struct InProcessShimTests {
  private typealias Tasks = Containerd_Task_V3_TaskClient<TTRPCClient>

  @Test("runs a container on a fake runtime, and its events are heard in their order")
  func life() async {
    // The shim's reaper takes every child of the process that it is in.
    await #expect(processExitsWith: .success) {
      try await Self.run(FakeRuntime()) { runtime, shim in
        try runtime.setInitScript("exit 7")
        try await shim.withClient { client in
          let tasks = Tasks(caller: client)
          try await Self.create("web", in: shim, runtime, tasks)
          #expect(try runtime.containers() == ["web"])
          _ = try await tasks.start(.with { $0.id = "web" })
          let end = try await tasks.wait(.with { $0.id = "web" })
          #expect(end.exitStatus == 7)
          #expect(try await tasks.delete(.with { $0.id = "web" }).exitStatus == 7)
        }
        let events = try await shim.events.wait { $0.contains { $0.topic == "/tasks/delete" } }
        #expect(
          events.map(\.topic) == ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"])
        #expect(events[2].unpacked(Containerd_Events_TaskExit.self)?.exitStatus == 7)
        #expect(events[2].unpacked(Containerd_Events_TaskStart.self) == nil)
        #expect(events.allSatisfy { $0.namespace == "tests" })
        #expect(try runtime.containers() == [])
        #expect(try runtime.calls().last?.contains("delete") == true)
      }
    }
  }

  @Test("a runtime that fails is told in its own words, and one that is held is waited for")
  func faults() async {
    await #expect(processExitsWith: .success) {
      try await Self.run(FakeRuntime()) { runtime, shim in
        try await shim.withClient { client in
          let tasks = Tasks(caller: client)
          try runtime.fail("create", "no room in the inn")
          let error = await #expect(throws: RPCError.self) {
            try await Self.create("web", in: shim, runtime, tasks)
          }
          #expect(error?.message.contains("no room in the inn") == true)
          try runtime.mend("create")
          try await Self.create("web", in: shim, runtime, tasks)

          try runtime.hold("start")
          async let start = tasks.start(.with { $0.id = "web" })
          try await runtime.waitForCall(of: "start")
          #expect(try await tasks.state(.with { $0.id = "web" }).status == .created)
          try runtime.release("start")
          _ = try await start
          #expect(try await tasks.state(.with { $0.id = "web" }).status == .running)
          _ = try await tasks.kill(.with { ($0.id, $0.signal) = ("web", 9) })
          #expect(try await tasks.wait(.with { $0.id = "web" }).exitStatus == 137)
          _ = try await tasks.delete(.with { $0.id = "web" })
          _ = try await tasks.shutdown(.with { $0.id = "web" })
        }
        #expect(shim.isShuttingDown)
      }
    }
  }

  @Test("1,500 waits over one connection leave room for the kill that ends them")
  func manyWaits() async {
    await #expect(processExitsWith: .success) {
      try await Self.run(FakeRuntime()) { runtime, shim in
        try await shim.withClient { client in
          let tasks = Tasks(caller: client)
          try await Self.create("web", in: shim, runtime, tasks)
          _ = try await tasks.start(.with { $0.id = "web" })
          let statuses = try await withThrowingTaskGroup(of: UInt32.self) { group in
            for _ in 0..<1500 {
              group.addTask { try await tasks.wait(.with { $0.id = "web" }).exitStatus }
            }
            group.addTask {
              _ = try await tasks.kill(
                .with { ($0.id, $0.signal) = ("web", 9) },
                options: RPCCallOptions(timeout: .seconds(30)))
              return 137
            }
            return try await group.reduce(into: Set<UInt32>()) { $0.insert($1) }
          }
          #expect(statuses == [137])
          _ = try await tasks.delete(.with { $0.id = "web" })
        }
      }
    }
  }

  private static func run(
    _ runtime: FakeRuntime, _ body: (FakeRuntime, InProcessShim) async throws -> Void
  ) async throws {
    let shim = try await InProcessShim(HawsepipeShim())
    try await body(runtime, shim)
    #expect(await shim.stop().isEmpty)
  }

  private static func create(
    _ id: String, in shim: InProcessShim, _ runtime: FakeRuntime, _ tasks: Tasks
  ) async throws {
    var options = Containerd_Runc_V1_Options()
    options.binaryName = runtime.program
    options.root = runtime.root
    let packed = try Google_Protobuf_Any(message: options)
    _ = try await tasks.create(
      .with {
        ($0.id, $0.bundle) = (id, shim.bundle)
        $0.options = packed
      })
  }
}
