import ContainerdAPI
import ContainerdClient
import FoundationEssentials
import RPCCore
import ShimTestKit
import SwiftProtobuf
import TTRPC
import Testing
import TransportCore
import UnixTransport

@testable import SandboxControl

@Suite("the driver of endpoints")
struct RemoteDriverTests {
  /// An endpoint on a unix socket: with the Sandbox API, or with nothing.
  private struct Endpoint {
    let scratch: ScratchDirectory
    var path: String { "\(scratch.path)/e.sock" }
    var address: String { "ttrpc+unix://\(path)" }

    init() throws { scratch = try ScratchDirectory() }

    func serve(sandboxes: Bool) throws -> Task<Void, any Error> {
      var server = TTRPCServer()
      if sandboxes { PeerSandboxes().register(on: &server) }
      let listener = try UnixListener(bindingTo: TransportAddress(place: .unix(path: path)))
      let serving = server
      return Task { try await serving.run(on: listener) }
    }
  }

  /// Knows one sandbox as long as it is there.
  private struct PeerSandboxes: Containerd_Runtime_Sandbox_V1_SandboxService {
    nonisolated(nonsending) func createSandbox(
      _ request: Containerd_Runtime_Sandbox_V1_CreateSandboxRequest, context: RPCServerContext
    ) async throws -> Containerd_Runtime_Sandbox_V1_CreateSandboxResponse {
      #expect(request.bundlePath == "/run/b/pod")
      #expect(context.metadata["containerd-namespace-ttrpc"] == "k8s.io")
      return .init()
    }

    nonisolated(nonsending) func startSandbox(
      _ request: Containerd_Runtime_Sandbox_V1_StartSandboxRequest, context: RPCServerContext
    ) async throws -> Containerd_Runtime_Sandbox_V1_StartSandboxResponse {
      .with { $0.pid = 77 }
    }

    nonisolated(nonsending) func platform(
      _ request: Containerd_Runtime_Sandbox_V1_PlatformRequest, context: RPCServerContext
    ) async throws -> Containerd_Runtime_Sandbox_V1_PlatformResponse {
      .with { $0.platform.architecture = "s390x" }
    }

    nonisolated(nonsending) func stopSandbox(
      _ request: Containerd_Runtime_Sandbox_V1_StopSandboxRequest, context: RPCServerContext
    ) async throws -> Containerd_Runtime_Sandbox_V1_StopSandboxResponse { .init() }

    nonisolated(nonsending) func waitSandbox(
      _ request: Containerd_Runtime_Sandbox_V1_WaitSandboxRequest, context: RPCServerContext
    ) async throws -> Containerd_Runtime_Sandbox_V1_WaitSandboxResponse {
      .with { $0.exitStatus = 5 }
    }

    nonisolated(nonsending) func sandboxStatus(
      _ request: Containerd_Runtime_Sandbox_V1_SandboxStatusRequest, context: RPCServerContext
    ) async throws -> Containerd_Runtime_Sandbox_V1_SandboxStatusResponse {
      .with { $0.state = "SANDBOX_READY" }
    }

    nonisolated(nonsending) func pingSandbox(
      _ request: Containerd_Runtime_Sandbox_V1_PingRequest, context: RPCServerContext
    ) async throws -> Containerd_Runtime_Sandbox_V1_PingResponse { .init() }

    nonisolated(nonsending) func shutdownSandbox(
      _ request: Containerd_Runtime_Sandbox_V1_ShutdownSandboxRequest, context: RPCServerContext
    ) async throws -> Containerd_Runtime_Sandbox_V1_ShutdownSandboxResponse { .init() }

    nonisolated(nonsending) func sandboxMetrics(
      _ request: Containerd_Runtime_Sandbox_V1_SandboxMetricsRequest, context: RPCServerContext
    ) async throws -> Containerd_Runtime_Sandbox_V1_SandboxMetricsResponse { .init() }
  }

  private func order(
    options: String? = nil, annotation: String? = nil
  ) throws -> SandboxOrder {
    var request = ControlFixture.request("pod")
    if let options {
      request.sandbox.runtime.options = try TypeURL.pack(
        Runtimeoptions_V1_Options.with { $0.configBody = Data(options.utf8) })
    }
    if let annotation { request.annotations[RemoteDriver.addressAnnotation] = annotation }
    return SandboxOrder(name: try ControlFixture.name("pod"), request: request)
  }

  private func driver(
    _ change: (inout RemoteDriver.Configuration) -> Void
  ) -> RemoteDriver {
    var configuration = RemoteDriver.Configuration()
    configuration.ready = .seconds(20)
    configuration.bundle = "/run/b/{id}"
    change(&configuration)
    return RemoteDriver(
      name: "vm", configuration, registry: TransportRegistry([UnixConnector()]),
      dialers: RPCDialers([TTRPCDialer()]), limits: ControlFixture.quick)
  }

  @Test("a peer with the Sandbox API is asked", arguments: RemoteDriver.Probe.allCases)
  func served(_ probe: RemoteDriver.Probe) async throws {
    let endpoint = try Endpoint()
    let driver = driver {
      $0.address = endpoint.address
      $0.probe = probe
    }
    let order = try order()
    // It is waited for.
    async let created = driver.create(order)
    try await Task.sleep(for: .milliseconds(20))
    let serving = try endpoint.serve(sandboxes: true)
    let sandbox = try await created
    let instance = try await sandbox.start()
    #expect(instance.pid == 77)
    #expect(instance.address == endpoint.address)
    #expect(instance.version == 3)
    #expect(try await sandbox.platform().architecture == "s390x")
    #expect(try await sandbox.wait().status == 5)
    try await sandbox.ping()
    try await sandbox.stop(within: .seconds(1))
    try await sandbox.shutDown()
    let restored = try await driver.restore(order, instance: instance)
    await restored?.release()
    #expect(restored != nil)
    serving.cancel()
    _ = try? await serving.value
    #expect(try await driver.restore(order, instance: instance) == nil)
    try await driver.remove(order)
  }

  @Test("a peer without it is a sandbox by being there, and ends with its connection")
  func endpointAlone() async throws {
    let endpoint = try Endpoint()
    let serving = try endpoint.serve(sandboxes: false)
    let driver = driver {
      $0.address = endpoint.address
      $0.tasks = "ttrpc+hvsock:///run/{id}.vsock:1024"
    }
    let order = try order()
    let sandbox = try await driver.create(order)
    let instance = try await sandbox.start()
    #expect(instance.pid == 0)
    #expect(instance.address == "ttrpc+hvsock:///run/pod.vsock:1024")
    #expect(try await sandbox.platform().os == "linux")
    try await sandbox.ping()
    let wait = Task { try await sandbox.wait() }
    serving.cancel()
    _ = try? await serving.value
    await #expect(throws: SandboxControlError.self) { try await wait.value }
    #expect(try await driver.restore(order, instance: instance) == nil)
  }

  @Test("one that is stopped ends though nobody there can be told")
  func stopAlone() async throws {
    let endpoint = try Endpoint()
    let serving = try endpoint.serve(sandboxes: false)
    let sandbox = try await driver { $0.address = endpoint.address }.create(try order())
    let wait = Task { try await sandbox.wait() }
    try await sandbox.stop(within: .seconds(1))
    #expect(try await wait.value.status == 0)
    serving.cancel()
  }

  @Test("one that is not there in time is an error, and a Sandbox API can be demanded")
  func notReady() async throws {
    let endpoint = try Endpoint()
    let order = try order()
    let late = driver {
      $0.address = endpoint.address
      $0.ready = .milliseconds(50)
    }
    await #expect(throws: SandboxControlError.self) { _ = try await late.create(order) }
    let serving = try endpoint.serve(sandboxes: false)
    let strict = driver {
      $0.address = endpoint.address
      $0.probe = .status
    }
    await #expect(throws: SandboxControlError.self) { _ = try await strict.create(order) }
    serving.cancel()
  }

  @Test("the address is the options', the annotation's if that is allowed, or the configuration's")
  func whichAddress() throws {
    func resolve(
      _ order: SandboxOrder, _ change: (inout RemoteDriver.Configuration) -> Void = { _ in }
    ) throws -> String {
      var configuration = RemoteDriver.Configuration()
      configuration.address = "ttrpc+unix:///run/{namespace}/{id}.sock"
      change(&configuration)
      return try RemoteEndpoint(
        order, configuration, driver: "vm", registry: TransportRegistry([UnixConnector()])
      ).taskAddress
    }
    #expect(try resolve(order()) == "ttrpc+unix:///run/k8s.io/pod.sock")
    #expect(
      try resolve(order(options: "address = \"grpc+vsock://3:1024\"")) == "grpc+vsock://3:1024")
    let annotated = try order(annotation: "unix:///run/{id}")
    #expect(try resolve(annotated) == "ttrpc+unix:///run/k8s.io/pod.sock")
    #expect(try resolve(annotated) { $0.allowsAnnotations = true } == "ttrpc+unix:///run/pod")
    for bad in ["address = 5", "address = ", "address = \"exec://?arg=id\"", "version = 0"] {
      #expect(throws: SandboxControlError.self) { try resolve(order(options: bad)) }
    }
    #expect(throws: SandboxControlError.self) { try resolve(order()) { $0.address = nil } }
  }

  @Test("whoever attaches tasks is told the endpoint's address without this host's files")
  func announced() throws {
    var configuration = RemoteDriver.Configuration()
    for (address, announced) in [
      (
        "grpc+tls://h:1?servername=sandbox&ca=/a.pem&cert=/c.pem&key=/k.pem&alpn=h2",
        "grpc+tls://h:1?servername=sandbox&alpn=h2"
      ),
      ("grpc+tls://h:1?servername=sandbox&ca=/a.pem", "grpc+tls://h:1?servername=sandbox"),
    ] {
      configuration.address = address
      let endpoint = try RemoteEndpoint(
        try order(), configuration, driver: "vm", registry: TransportRegistry([UnixConnector()]))
      #expect(endpoint.taskAddress == announced)
      // As those who are told it take it.
      #expect(throws: Never.self) {
        try TransportAddress(parsing: endpoint.taskAddress, origin: .received)
      }
      // It is dialled with all of them.
      #expect(endpoint.address.parameters.contains { $0.name == "ca" })
    }
  }
}
