import ContainerdAPI
import ContainerdClient
import GRPCTransport
import RPCCore
import SwiftProtobuf
import TTRPC
import Testing
import TransportCore

/// What Go's shim is asked, wherever it is, and what is answered to Go's client, wherever that is.
extension SandboxPeer {
  // MARK: Our clients, Go's shim

  /// A task's life.
  static func checkTasks(_ line: RPCLine) async throws {
    let tasks = try TaskClient(caller: line, version: 3, namespace: "blue")
    #expect(try await tasks.connect("a", timeout: .seconds(10)).taskPID == 0)
    let creation = TaskCreation(id: "a", bundle: "/b")
    #expect(try await tasks.create(creation, timeout: .seconds(10)) == 4242)
    let again = await rpcFailure("a second create") {
      _ = try await tasks.create(creation, timeout: .seconds(10))
    }
    #expect(again?.code == .alreadyExists)
    _ = try await tasks.start("a", timeout: .seconds(10))
    let state = try await tasks.state("a", timeout: .seconds(10))
    // What it was called with, namespace included.
    #expect(state.bundle == "blue:/b" && state.status == .running && state.pid == 4242)
    #expect(try await tasks.pids("a", timeout: .seconds(10)).map(\.pid) == [4242])
    let figures = try await tasks.stats("a", timeout: .seconds(10))
    #expect(figures.isA(Google_Protobuf_UInt64Value.self))
    let refused = await rpcFailure("a delete of what runs") {
      _ = try await tasks.delete("a", timeout: .seconds(10))
    }
    #expect(refused?.code == .failedPrecondition && refused?.message == "task a runs")
    #expect(refused?.details == [PeerService.detail(of: "kill it first")])
    let unserved = await rpcFailure("what is not there") {
      try await tasks.pause("a", timeout: .seconds(10))
    }
    #expect(unserved?.isUnimplemented == true)
    async let exit = tasks.wait("a", timeout: .seconds(30))
    try await tasks.kill("a", signal: 9, timeout: .seconds(10))
    #expect(try await exit.status == 137)
    #expect(try await tasks.delete("a", timeout: .seconds(10)).status == 137)
    let gone = await rpcFailure("a task that is gone") {
      _ = try await tasks.state("a", timeout: .seconds(10))
    }
    #expect(gone?.isNotFound == true)
  }

  /// A sandbox's life.
  static func checkSandboxes(_ line: RPCLine) async throws {
    let sandboxes = SandboxClient(caller: line, namespace: "blue")
    try await sandboxes.create(
      SandboxCreation(id: "pod", bundle: "/b", annotations: ["color": "red"]),
      timeout: .seconds(10))
    #expect(try await sandboxes.status("pod", timeout: .seconds(10)).isNotReady)
    let started = try await sandboxes.start("pod", timeout: .seconds(10))
    #expect(started.pid > 0 && started.createdAt != nil)
    let status = try await sandboxes.status("pod", verbose: true, timeout: .seconds(10))
    #expect(status.isReady && status.info == ["namespace": "blue", "color": "red"])
    let platform = try await sandboxes.platform("pod", timeout: .seconds(10))
    #expect(
      (platform.os, platform.architecture, platform.variant) == ("linux", "riscv64", "peer"))
    try await sandboxes.ping("pod", timeout: .seconds(10))
    let metrics = try await sandboxes.metrics("pod", timeout: .seconds(10))
    #expect(metrics.id == "pod" && metrics.data?.isA(Google_Protobuf_UInt64Value.self) == true)
    let unserved = await rpcFailure("an update") {
      try await sandboxes.update(
        SandboxRecord(id: "pod"), fields: ["labels.a"], timeout: .seconds(10))
    }
    #expect(unserved?.isUnimplemented == true)
    async let exit = sandboxes.wait("pod", timeout: .seconds(30))
    try await sandboxes.stop("pod", grace: .seconds(2), timeout: .seconds(10))
    #expect(try await exit.status == 3)
    try await sandboxes.shutdown("pod", timeout: .seconds(10))
    let gone = await rpcFailure("a sandbox that is gone") {
      try await sandboxes.ping("pod", timeout: .seconds(10))
    }
    #expect(gone?.isNotFound == true)
  }

  // MARK: Go's client, our servers

  /// What Go's client is answered.
  private static func register(on server: inout some RPCRegistrar) {
    func method(_ name: String) -> RPCMethod {
      RPCMethod(service: "containerd.task.v3.Task", name: name)
    }
    server.register(method("Connect")) {
      (request: Containerd_Task_V3_ConnectRequest, context) in
      let namespace =
        context.metadata["containerd-namespace"] ?? context.metadata["containerd-namespace-ttrpc"]
      return Containerd_Task_V3_ConnectResponse.with {
        $0.shimPid = 7
        $0.version = "\(namespace ?? "none") \(context.timeout != nil) \(request.id)"
      }
    }
    server.register(method("Delete")) {
      (request: Containerd_Task_V3_DeleteRequest, _) -> Containerd_Task_V3_DeleteResponse in
      throw RPCError(
        code: .failedPrecondition, message: "task \(request.id) runs",
        details: [PeerService.detail(of: "kill it first")])
    }
  }

  static let lines = [
    #"containerd.task.v3.Task/Connect {"id":"naïve ✓"}"#,
    #"containerd.task.v3.Task/Delete {"id":"a"}"#,
    #"containerd.task.v3.Task/State {"id":"a"}"#,
  ]

  static func expect(_ answers: [String]) {
    #expect(
      answers[0] == #"OK {"shimPid":7,"version":"green true naïve ✓"}"#, "\(answers)")
    #expect(
      answers[1] == #"FailedPrecondition task a runs [value:"kill it first"]"#, "\(answers)")
    #expect(answers[2].hasPrefix("Unimplemented "), "\(answers)")
  }

  static func serve(
    _ rpc: TransportAddress.RPCProtocol, on listener: any Listener,
    _ body: @Sendable () async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        switch rpc {
        case .grpc:
          var server = GRPCListenerServer()
          SandboxPeer.register(on: &server)
          try await server.run(on: listener)
        case .ttrpc:
          var server = TTRPCServer()
          SandboxPeer.register(on: &server)
          try await server.run(on: listener)
        }
      }
      try await body()
      group.cancelAll()
      try await group.waitForAll()
    }
  }
}
