import ContainerdAPI
import ContainerdClient
import FoundationEssentials
import RPCCore
import SwiftProtobuf
import Testing
import TransportCore

private let options = Google_Protobuf_Any.with {
  $0.typeURL = "containerd.runc.v1.Options"
  $0.value = .init([1, 2, 3])
}

/// One call of the client, and the message of version 2 that is to be on the wire.
private struct Row: Sendable, CustomTestStringConvertible {
  var method: String
  var expected: any Message & Sendable
  var call: @Sendable (TaskClient<ScriptedCaller>) async throws(RPCError) -> Void

  var testDescription: String { method }

  init(
    _ method: String, _ expected: any Message & Sendable,
    _ call: @escaping @Sendable (TaskClient<ScriptedCaller>) async throws(RPCError) -> Void
  ) {
    self.method = method
    self.expected = expected
    self.call = call
  }
}

private let streams = StreamLocations(
  standardInput: "/in", standardOutput: "/out", standardError: "/err", terminal: true)

private let rows: [Row] = [
  Row(
    "Create",
    Containerd_Task_V2_CreateTaskRequest.with {
      $0.id = "t"
      $0.bundle = "/b"
      $0.rootfs = [
        .with {
          $0.type = "bind"
          $0.source = "/s"
          $0.target = "x"
          $0.options = ["ro", "rbind"]
        }
      ]
      $0.terminal = true
      $0.stdin = "/in"
      $0.stdout = "/out"
      $0.stderr = "/err"
      $0.checkpoint = "/c"
      $0.parentCheckpoint = "/p"
      $0.options = options
    }
  ) { client throws(RPCError) in
    _ = try await client.create(
      TaskCreation(
        id: "t", bundle: "/b",
        rootfs: [RootMount(type: "bind", source: "/s", target: "x", options: ["ro", "rbind"])],
        streams: streams, options: options, checkpoint: "/c", parentCheckpoint: "/p"))
  },
  Row(
    "Create",
    Containerd_Task_V2_CreateTaskRequest.with {
      $0.id = "t"
      $0.bundle = "/b"
    }
  ) { client throws(RPCError) in
    _ = try await client.create(TaskCreation(id: "t", bundle: "/b"))
  },
  Row("Start", Containerd_Task_V2_StartRequest.with { $0.id = "t" }) {
    client throws(RPCError) in _ = try await client.start("t")
  },
  Row(
    "Start",
    Containerd_Task_V2_StartRequest.with {
      $0.id = "t"
      $0.execID = "e"
    }
  ) { client throws(RPCError) in _ = try await client.start("t", execID: "e") },
  Row(
    "Exec",
    Containerd_Task_V2_ExecProcessRequest.with {
      $0.id = "t"
      $0.execID = "e"
      $0.terminal = true
      $0.stdin = "/in"
      $0.stdout = "/out"
      $0.stderr = "/err"
      $0.spec = options
    }
  ) { client throws(RPCError) in
    try await client.exec(TaskExec(id: "t", execID: "e", streams: streams, spec: options))
  },
  Row(
    "Kill",
    Containerd_Task_V2_KillRequest.with {
      $0.id = "t"
      $0.execID = "e"
      $0.signal = 9
      $0.all = true
    }
  ) { client throws(RPCError) in
    try await client.kill("t", execID: "e", signal: 9, all: true)
  },
  Row(
    "Wait",
    Containerd_Task_V2_WaitRequest.with {
      $0.id = "t"
      $0.execID = "e"
    }
  ) { client throws(RPCError) in _ = try await client.wait("t", execID: "e") },
  Row(
    "Delete",
    Containerd_Task_V2_DeleteRequest.with {
      $0.id = "t"
      $0.execID = "e"
    }
  ) { client throws(RPCError) in _ = try await client.delete("t", execID: "e") },
  Row(
    "State",
    Containerd_Task_V2_StateRequest.with {
      $0.id = "t"
      $0.execID = "e"
    }
  ) { client throws(RPCError) in _ = try await client.state("t", execID: "e") },
  Row("Pids", Containerd_Task_V2_PidsRequest.with { $0.id = "t" }) {
    client throws(RPCError) in _ = try await client.pids("t")
  },
  Row("Pause", Containerd_Task_V2_PauseRequest.with { $0.id = "t" }) {
    client throws(RPCError) in try await client.pause("t")
  },
  Row("Resume", Containerd_Task_V2_ResumeRequest.with { $0.id = "t" }) {
    client throws(RPCError) in try await client.resume("t")
  },
  Row(
    "CloseIO",
    Containerd_Task_V2_CloseIORequest.with {
      $0.id = "t"
      $0.execID = "e"
      $0.stdin = true
    }
  ) { client throws(RPCError) in try await client.closeIO("t", execID: "e") },
  Row(
    "ResizePty",
    Containerd_Task_V2_ResizePtyRequest.with {
      $0.id = "t"
      $0.execID = "e"
      $0.width = 120
      $0.height = 40
    }
  ) { client throws(RPCError) in
    try await client.resizePty("t", execID: "e", to: WindowSize(columns: 120, rows: 40))
  },
  Row("Stats", Containerd_Task_V2_StatsRequest.with { $0.id = "t" }) {
    client throws(RPCError) in _ = try await client.stats("t")
  },
  Row(
    "Update",
    Containerd_Task_V2_UpdateTaskRequest.with {
      $0.id = "t"
      $0.resources = options
      $0.annotations = ["k": "v"]
    }
  ) { client throws(RPCError) in
    try await client.update("t", resources: options, annotations: ["k": "v"])
  },
  Row(
    "Checkpoint",
    Containerd_Task_V2_CheckpointTaskRequest.with {
      $0.id = "t"
      $0.path = "/c"
      $0.options = options
    }
  ) { client throws(RPCError) in
    try await client.checkpoint("t", to: "/c", options: options)
  },
  Row("Connect", Containerd_Task_V2_ConnectRequest.with { $0.id = "t" }) {
    client throws(RPCError) in _ = try await client.connect("t")
  },
  Row(
    "Shutdown",
    Containerd_Task_V2_ShutdownRequest.with {
      $0.id = "t"
      $0.now = true
    }
  ) { client throws(RPCError) in try await client.shutdown("t", now: true) },
]

@Suite struct TaskClientTests {
  @Test("a call goes to its version's service, with the namespace and version 2's very bytes")
  func requests() async throws {
    for row in rows {
      for version in [2, 3] {
        let caller = ScriptedCaller()
        let client = try TaskClient(caller: caller, version: version, namespace: "k8s.io")
        try await row.call(client)
        let call = try #require(caller.calls.first)
        #expect(caller.calls.count == 1)
        #expect(call.path == "containerd.task.v\(version).Task/\(row.method)")
        #expect(try call.bytes == row.expected.serializedBytes())
        #expect(
          call.options.metadata == [
            "containerd-namespace-ttrpc": "k8s.io", "containerd-namespace": "k8s.io",
          ])
        #expect(call.options.timeout == nil)
      }
    }
    #expect(Set(rows.map(\.method)).count == 17)
  }

  @Test("a time limit travels with its call")
  func timeouts() async throws {
    let caller = ScriptedCaller()
    let client = try TaskClient(caller: caller, version: 3, namespace: "n")
    _ = try await client.state("t", timeout: .seconds(2))
    #expect(caller.calls.first?.options.timeout == .seconds(2))
  }

  @Test("a version that nobody knows is refused", arguments: [-1, 0, 1, 4])
  func unknownVersions(_ version: Int) {
    let error = #expect(throws: ContainerdClientError.self) {
      _ = try TaskClient(caller: ScriptedCaller(), version: version, namespace: "n")
    }
    #expect(error?.code == .unsupportedVersion)
  }

  @Test("over gRPC there is version 3 alone, and no way down from it")
  func versionsOverGRPC() throws {
    let error = #expect(throws: ContainerdClientError.self) {
      _ = try TaskClient(caller: ScriptedCaller(), version: 2, namespace: "n", over: .grpc)
    }
    #expect(error?.code == .unsupportedVersion)
    #expect(error?.description.contains("grpc") == true)
    let client = try TaskClient(caller: ScriptedCaller(), version: 3, namespace: "n", over: .grpc)
    #expect(client.downgraded() == nil)
  }

  @Test("a state comes with everything that the shim said")
  func state() async throws {
    let response = Containerd_Task_V3_StateResponse.with {
      $0.id = "t"
      $0.execID = "e"
      $0.bundle = "/b"
      $0.pid = 42
      $0.status = .stopped
      $0.stdin = "/in"
      $0.stdout = "/out"
      $0.terminal = true
      $0.exitStatus = 137
      $0.exitedAt.seconds = 1_700_000_000
    }
    let client = try TaskClient(
      caller: ScriptedCaller(answering: response), version: 3, namespace: "n")
    let state = try await client.state("t")
    #expect(
      state
        == TaskState(
          id: "t", execID: "e", bundle: "/b", pid: 42, status: .stopped,
          streams: StreamLocations(
            standardInput: "/in", standardOutput: "/out", terminal: true),
          exitStatus: 137, exitedAt: .with { $0.seconds = 1_700_000_000 }))
  }

  @Test("the year 1, which Go sends for no time, is no time; a status from the future is kept")
  func oddStates() async throws {
    let response = Containerd_Task_V3_StateResponse.with {
      $0.status = .UNRECOGNIZED(9)
      $0.exitedAt.seconds = -62_135_596_800
    }
    let client = try TaskClient(
      caller: ScriptedCaller(answering: response), version: 3, namespace: "n")
    let state = try await client.state("t")
    #expect(state.exitedAt == nil)
    #expect(state.execID == nil)
    #expect(state.status == TaskStatus(rawValue: 9))
    #expect("\(state.status)" == "status 9")
  }

  @Test("exits, pids, stats and a shim's own pid come through")
  func responses() async throws {
    func client(_ message: any Message) throws -> TaskClient<ScriptedCaller> {
      try TaskClient(caller: ScriptedCaller(answering: message), version: 2, namespace: "n")
    }
    let deleted = Containerd_Task_V3_DeleteResponse.with {
      $0.pid = 7
      $0.exitStatus = 3
      $0.exitedAt.seconds = 5
    }
    let time = Google_Protobuf_Timestamp.with { $0.seconds = 5 }
    #expect(
      try await client(deleted).delete("t") == TaskExit(pid: 7, status: 3, exitedAt: time))
    let waited = Containerd_Task_V3_WaitResponse.with { $0.exitStatus = 3 }
    #expect(try await client(waited).wait("t") == TaskExit(status: 3))
    let pids = Containerd_Task_V3_PidsResponse.with {
      $0.processes = [
        .with { $0.pid = 1 },
        .with {
          $0.pid = 2
          $0.info = options
        },
      ]
    }
    #expect(
      try await client(pids).pids("t") == [
        TaskProcess(pid: 1), TaskProcess(pid: 2, info: options),
      ])
    let stats = Containerd_Task_V3_StatsResponse.with { $0.stats = options }
    #expect(try await client(stats).stats("t") == options)
    let connection = Containerd_Task_V3_ConnectResponse.with {
      $0.shimPid = 10
      $0.taskPid = 11
    }
    #expect(try await client(connection).connect("t") == ShimConnection(shimPID: 10, taskPID: 11))
    let created = Containerd_Task_V3_CreateTaskResponse.with { $0.pid = 12 }
    #expect(try await client(created).create(TaskCreation(id: "t", bundle: "/b")) == 12)
    let started = Containerd_Task_V3_StartResponse.with { $0.pid = 13 }
    #expect(try await client(started).start("t") == 13)
  }
}

@Suite struct TaskNegotiationTests {
  private func shim(
    serving version: Int, code: RPCCode = .unimplemented, reason: RPCError.Reason = .status
  ) -> ScriptedCaller {
    ScriptedCaller { method throws(RPCError) in
      guard method.service == "containerd.task.v\(version).Task" else {
        throw RPCError(code: code, message: "service \(method.service)", reason: reason)
      }
      return []
    }
  }

  @Test("a shim that has only version 2 is asked again by it, and the caller learns that")
  func fallsBack() async throws {
    let caller = shim(serving: 2)
    let client = try TaskClient(caller: caller, version: 3, namespace: "n")
    let (found, pid) = try await client.negotiating { client throws(RPCError) in
      try await client.create(TaskCreation(id: "t", bundle: "/b"))
    }
    #expect(found.version == 2)
    #expect(found.namespace == "n")
    #expect(pid == 0)
    #expect(
      caller.calls.map(\.path) == [
        "containerd.task.v3.Task/Create", "containerd.task.v2.Task/Create",
      ])
    _ = try await found.start("t")
    #expect(caller.calls.last?.path == "containerd.task.v2.Task/Start")
  }

  @Test("a version that works is kept", arguments: [2, 3])
  func stays(_ version: Int) async throws {
    let caller = shim(serving: version)
    let client = try TaskClient(caller: caller, version: version, namespace: "n")
    let (found, _) = try await client.negotiating { client throws(RPCError) in
      try await client.connect("t")
    }
    #expect(found.version == version)
    #expect(caller.calls.count == 1)
  }

  @Test(
    "nothing is tried below version 2, nor for any other error",
    arguments: [
      (2, 3, RPCCode.unimplemented, RPCError.Reason.status),
      (3, 2, .notFound, .status),
      (3, 2, .unavailable, .connectionClosed),
      (3, 2, .unimplemented, .protocolViolation),
    ])
  func givesUp(
    _ asked: Int, _ served: Int, _ code: RPCCode, _ reason: RPCError.Reason
  ) async throws {
    let caller = shim(serving: served, code: code, reason: reason)
    let client = try TaskClient(caller: caller, version: asked, namespace: "n")
    await #expect {
      _ = try await client.negotiating { client throws(RPCError) in try await client.connect("t") }
    } throws: { error in
      (error as? RPCError)?.code == code && (error as? RPCError)?.reason == reason
    }
    #expect(caller.calls.count == 1)
  }

  @Test("an error's question is answered by the shim's word alone")
  func errorQuestions() {
    #expect(RPCError(code: .notFound, message: "").isNotFound)
    #expect(!RPCError(code: .notFound, message: "", reason: .encoding).isNotFound)
    #expect(RPCError(code: .unimplemented, message: "").isUnimplemented)
    #expect(!RPCError(code: .unimplemented, message: "", reason: .connectionClosed).isUnimplemented)
  }
}
