import ContainerdAPI
import RPCCore
import SwiftProtobuf
import Testing

@testable import ContainerdClient

private struct Row: Sendable {
  var method: String
  var expected: any Message
  var call: @Sendable (SandboxClient<ScriptedCaller>) async throws -> Void

  init(
    _ method: String, _ expected: any Message,
    _ call: @escaping @Sendable (SandboxClient<ScriptedCaller>) async throws -> Void
  ) {
    self.method = method
    self.expected = expected
    self.call = call
  }
}

private let options = Google_Protobuf_Any.with { $0.typeURL = "x.Options" }

private let rows: [Row] = [
  Row(
    "CreateSandbox",
    Containerd_Runtime_Sandbox_V1_CreateSandboxRequest.with {
      $0.sandboxID = "pod"
      $0.bundlePath = "/b"
      $0.rootfs = [
        .with {
          $0.type = "bind"
          $0.source = "/s"
          $0.target = "/t"
          $0.options = ["ro"]
        }
      ]
      $0.options = options
      $0.netnsPath = "/run/netns/a"
      $0.annotations = ["k": "v"]
    }
  ) {
    try await $0.create(
      SandboxCreation(
        id: "pod", bundle: "/b",
        rootfs: [RootMount(type: "bind", source: "/s", target: "/t", options: ["ro"])],
        options: options, netnsPath: "/run/netns/a", annotations: ["k": "v"]))
  },
  Row(
    "CreateSandbox",
    Containerd_Runtime_Sandbox_V1_CreateSandboxRequest.with {
      $0.sandboxID = "pod"
      $0.bundlePath = "/b"
    }
  ) { try await $0.create(SandboxCreation(id: "pod", bundle: "/b")) },
  Row(
    "StartSandbox", Containerd_Runtime_Sandbox_V1_StartSandboxRequest.with { $0.sandboxID = "pod" }
  ) { _ = try await $0.start("pod") },
  Row("Platform", Containerd_Runtime_Sandbox_V1_PlatformRequest.with { $0.sandboxID = "pod" }) {
    _ = try await $0.platform("pod")
  },
  Row(
    "StopSandbox",
    Containerd_Runtime_Sandbox_V1_StopSandboxRequest.with {
      $0.sandboxID = "pod"
      $0.timeoutSecs = 2
    }
  ) { try await $0.stop("pod", grace: .milliseconds(1001)) },
  Row("StopSandbox", Containerd_Runtime_Sandbox_V1_StopSandboxRequest.with { $0.sandboxID = "pod" })
  { try await $0.stop("pod") },
  Row("WaitSandbox", Containerd_Runtime_Sandbox_V1_WaitSandboxRequest.with { $0.sandboxID = "pod" })
  { _ = try await $0.wait("pod") },
  Row(
    "SandboxStatus",
    Containerd_Runtime_Sandbox_V1_SandboxStatusRequest.with {
      $0.sandboxID = "pod"
      $0.verbose = true
    }
  ) { _ = try await $0.status("pod", verbose: true) },
  Row("PingSandbox", Containerd_Runtime_Sandbox_V1_PingRequest.with { $0.sandboxID = "pod" }) {
    try await $0.ping("pod")
  },
  Row(
    "ShutdownSandbox",
    Containerd_Runtime_Sandbox_V1_ShutdownSandboxRequest.with { $0.sandboxID = "pod" }
  ) { try await $0.shutdown("pod") },
  Row(
    "SandboxMetrics",
    Containerd_Runtime_Sandbox_V1_SandboxMetricsRequest.with { $0.sandboxID = "pod" }
  ) { _ = try await $0.metrics("pod") },
  Row(
    "UpdateSandbox",
    Containerd_Runtime_Sandbox_V1_UpdateSandboxRequest.with {
      $0.sandboxID = "pod"
      $0.sandbox = .with {
        $0.sandboxID = "pod"
        $0.runtime = .with { $0.name = "io.containerd.x.v1" }
        $0.labels = ["a": "b"]
        $0.sandboxer = "hawsepipe"
      }
      $0.fields = ["labels.a"]
    }
  ) {
    try await $0.update(
      SandboxRecord(
        id: "pod", runtime: "io.containerd.x.v1", labels: ["a": "b"], sandboxer: "hawsepipe"),
      fields: ["labels.a"])
  },
]

@Suite struct SandboxClientTests {
  @Test("each call goes to the sandbox service, with the namespace for either protocol")
  func requests() async throws {
    for row in rows {
      let caller = ScriptedCaller()
      try await row.call(SandboxClient(caller: caller, namespace: "k8s.io"))
      let call = try #require(caller.calls.first)
      #expect(caller.calls.count == 1)
      #expect(call.path == "containerd.runtime.sandbox.v1.Sandbox/\(row.method)")
      #expect(try call.bytes == row.expected.serializedBytes(), "\(row.method)")
      #expect(
        call.options.metadata == [
          "containerd-namespace-ttrpc": "k8s.io", "containerd-namespace": "k8s.io",
        ])
      #expect(call.options.timeout == nil)
    }
    #expect(Set(rows.map(\.method)).count == 10)
  }

  @Test("a time limit travels with its call")
  func timeouts() async throws {
    let caller = ScriptedCaller()
    let client = SandboxClient(caller: caller, namespace: "n")
    _ = try await client.status("pod", timeout: .seconds(2))
    #expect(caller.calls.first?.options.timeout == .seconds(2))
  }

  @Test(
    "a state is its text; CRI's two are known, whatever else is unknown",
    arguments: [
      ("SANDBOX_READY", true, false), ("SANDBOX_NOTREADY", false, true), ("", false, false),
      ("sandbox_ready", false, false), ("running", false, false),
    ])
  func states(_ text: String, _ isReady: Bool, _ isNotReady: Bool) async throws {
    let response = Containerd_Runtime_Sandbox_V1_SandboxStatusResponse.with {
      $0.sandboxID = "pod"
      $0.pid = 7
      $0.state = text
      $0.info = ["info": "{}"]
      $0.createdAt.seconds = 5
      // The year 1: Go's way to say that there is no time.
      $0.exitedAt.seconds = -62_135_596_800
      $0.extra = options
    }
    let status = try await SandboxClient(
      caller: ScriptedCaller(answering: response), namespace: "n"
    ).status("pod")
    #expect(
      status
        == SandboxStatus(
          id: "pod", pid: 7, state: SandboxState(rawValue: text), info: ["info": "{}"],
          createdAt: .with { $0.seconds = 5 }, extra: options))
    #expect(status.isReady == isReady && status.isNotReady == isNotReady)
    #expect(status.state.isUnknown == (!isReady && !isNotReady))
  }

  @Test("answers come with everything that the shim said")
  func answers() async throws {
    let start = try await SandboxClient(
      caller: ScriptedCaller(
        answering: Containerd_Runtime_Sandbox_V1_StartSandboxResponse.with {
          $0.pid = 9
          $0.createdAt.seconds = 3
          $0.spec = options
        }), namespace: "n"
    ).start("pod")
    #expect(start == SandboxStart(pid: 9, createdAt: .with { $0.seconds = 3 }, spec: options))
    let exit = try await SandboxClient(
      caller: ScriptedCaller(
        answering: Containerd_Runtime_Sandbox_V1_WaitSandboxResponse.with {
          $0.exitStatus = 137
          $0.exitedAt.seconds = 4
        }), namespace: "n"
    ).wait("pod")
    #expect(exit == SandboxExit(status: 137, exitedAt: .with { $0.seconds = 4 }))
    let platform = try await SandboxClient(
      caller: ScriptedCaller(
        answering: Containerd_Runtime_Sandbox_V1_PlatformResponse.with {
          $0.platform.os = "linux"
          $0.platform.architecture = "arm64"
          $0.platform.variant = "v8"
        }), namespace: "n"
    ).platform("pod")
    #expect(platform == SandboxPlatform(os: "linux", architecture: "arm64", variant: "v8"))
    let metrics = try await SandboxClient(
      caller: ScriptedCaller(
        answering: Containerd_Runtime_Sandbox_V1_SandboxMetricsResponse.with {
          $0.metrics.id = "pod"
          $0.metrics.data = options
        }), namespace: "n"
    ).metrics("pod")
    #expect(metrics == SandboxMetrics(id: "pod", data: options))
  }
}
