import GRPCTransport
import Hawsepipe
import ProcessSupervision
import ShimManagement
import TTRPC
import Testing
import TransportCore

/// A guest with our shim and Go's in it, a containerd on the host whose sandboxer `hawsepipe` is `hawse
/// serve`, and that, whose only sandboxes are the guest's: booted once for the tests of a suite.
struct GuestBench: Sendable {
  @TaskLocal static var current: GuestBench?

  /// The containers that can be made in the guest: by their names there and for containerd.
  static let commands = [
    "web": "sleep 1000", "quick": "exit 7", "gone": "sleep 1000",
    "first": "exit 3", "second": "exit 3", "third": "exit 3",
  ]
  static let namespace = "default"

  let guest: PodGuest
  let containerd: ContainerdFixture
  let controller: ControllerProcess

  /// The bench of the suite that runs.
  static func booted() throws -> GuestBench {
    try #require(current, "the suite has the trait .guestBench")
  }

  /// `@` stands for containerd's directory. Its sandbox service is there only with Kubernetes' interface.
  private static let configuration = """
    [plugins.'io.containerd.cri.v1.runtime']
    restrict_oom_score_adj = true
    netns_mounts_under_state_dir = true
    [plugins.'io.containerd.cri.v1.runtime'.cni]
    conf_dir = "@/cni/conf"
    bin_dirs = ["@/cni/bin"]
    [plugins.'io.containerd.grpc.v1.cri']
    disable_tcp_service = true
    stream_server_address = "127.0.0.1"
    stream_server_port = "0"
    [proxy_plugins.hawsepipe]
    type = "sandbox"
    address = "@/h/serve.sock"

    """

  fileprivate static func use(_ body: @Sendable () async throws -> Void) async throws {
    try await ContainerdFixture.use(.forky, cri: configuration) { containerd in
      let containers = commands.map { id, command in
        PodGuest.Container(
          id: id, bundle: bundle(id, of: containerd), command: command, memoryLimit: nil)
      }
      let servers = Guarded<[Task<Void, any Error>]>([])
      try await PodGuest.use(containers, script: script) { machine in
        for rpc in TransportAddress.RPCProtocol.allCases {
          let address = PodGuest.host(machine, rpc)
          let listener = try await TransportRegistry.standard.listen(at: address)
          let server = Task {
            try await SandboxPeer.serve(rpc, on: listener) {
              try await Task.sleep(for: .seconds(3600))
            }
          }
          servers.update { $0.append(server) }
        }
      } _: { guest in
        let controller = try ControllerProcess(
          of: containerd,
          drivers: """
            [drivers.vm]
            type = "remote"
            address = "\(guest.shim)"
            probe = "status"
            bundle = "/run/{id}"
            [runtimes."\(ContainerdFixture.runtime)"]
            driver = "vm"
            """)
        try await controller.start()
        let bench = GuestBench(guest: guest, containerd: containerd, controller: controller)
        do {
          try await $current.withValue(bench) { try await body() }
        } catch {
          Issue.record(error)
        }
        try await controller.stop()
      }
      for server in servers.value {
        server.cancel()
        // It was cancelled, and nothing else matters of it.
        _ = await server.result
      }
    }
  }

  /// Where containerd makes a container's bundle, and where the guest has one.
  static func bundle(_ id: String, of containerd: ContainerdFixture) -> String {
    "\(containerd.directory)/state/io.containerd.runtime.v2.task/\(namespace)/\(id)"
  }

  /// Go's client in the guest calls our servers on the host, and says what it was answered.
  private static let script = TransportAddress.RPCProtocol.allCases.map { rpc in
    let lines = SandboxPeer.lines.map { "'\($0)'" }.joined(separator: " ")
    let port = PodGuest.hostPort + (rpc == .grpc ? 0 : 1)
    return """
      PEER_NAMESPACE=green sandbox-peer drive \(rpc.rawValue) vsock:2:\(port) \(lines) \
      | sed 's/^/guest: \(rpc.rawValue) /' &
      """
  }.joined(separator: "\n")

  /// What Go's client in the guest was answered.
  func answers(_ rpc: TransportAddress.RPCProtocol) async throws -> [String] {
    let start = "\(rpc.rawValue) "
    try await eventually("the guest's client is answered", within: .seconds(120)) {
      guest.machine.lines.count { $0.hasPrefix(start) } >= SandboxPeer.lines.count
    }
    return guest.machine.lines.filter { $0.hasPrefix(start) }.map {
      String($0.dropFirst(start.count))
    }
  }

  // MARK: Clients

  /// Has Go's client call containerd.
  ///
  /// - Returns: what containerd answered, without "OK ".
  @discardableResult
  func containerd(
    _ method: String, _ request: String, seconds: Int = 30,
    sourceLocation: SourceLocation = #_sourceLocation
  ) async throws -> String {
    try await ok("unix:\(containerd.socket)", method, request, seconds, sourceLocation)
  }

  /// Has Go's client call the controller as containerd does.
  @discardableResult
  func controller(
    _ method: String, _ request: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) async throws -> String {
    try await ok("unix:\(controller.socket)", method, request, 30, sourceLocation)
  }

  private func ok(
    _ place: String, _ method: String, _ request: String, _ seconds: Int,
    _ sourceLocation: SourceLocation
  ) async throws -> String {
    let answer = try await self.answer(place, method, request, seconds)
    try #require(
      answer.hasPrefix("OK "), "\(method) \(request): \(answer)\n\(controller.log.suffix(3000))",
      sourceLocation: sourceLocation)
    return String(answer.dropFirst("OK ".count))
  }

  func answer(
    _ place: String, _ method: String, _ request: String, _ seconds: Int = 30
  ) async throws -> String {
    try await SandboxPeer.drive(
      .grpc, place, namespace: Self.namespace, seconds: seconds,
      ["containerd.services.\(method) \(request)"])[0]
  }
}

/// Gives a suite its guest, for all of its tests together.
struct WithGuestBench: SuiteTrait, TestScoping {
  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    try await GuestBench.use(function)
  }
}

extension Trait where Self == WithGuestBench {
  static var guestBench: WithGuestBench { WithGuestBench() }
}
