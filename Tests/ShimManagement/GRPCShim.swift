import ContainerdAPI
import GRPCTransport
import NIOCore
import RPCCore
import SwiftProtobuf
import Synchronization
import TransportCore
import UnixTransport

/// A shim that serves Task v3 and the sandbox API by gRPC, on a unix socket in this process. Its tasks
/// have the pid 4242 and end with 7, its sandbox ends when it is told to.
final class GRPCShim: Sendable {
  let path: String
  var address: TransportAddress { TransportAddress(rpc: .grpc, place: .unix(path: path)) }
  /// For a scripted binary's `start`.
  var start: String {
    #"echo '{"version":3,"address":"unix://\#(path)","protocol":"grpc"}'"#
  }

  private struct State {
    var calls: [String] = []
    var namespaces: Set<String> = []
    var open: [ObjectIdentifier: any Channel] = [:]
    var exit: UInt32?
  }

  private let state = Mutex(State())
  private let control = RPCServerControl()
  private let serving: Mutex<Task<Void, Never>?> = Mutex(nil)

  init(at path: String) throws {
    self.path = path
    let listener = try UnixListener(
      bindingTo: TransportAddress(place: .unix(path: path)),
      options: .init(replacing: true, leavesFile: true))
    let server = server()
    let watched = Watched(listener: listener) { [weak self] channel in
      self?.state.withLock { $0.open[ObjectIdentifier(channel)] = channel }
      channel.closeFuture.whenComplete { [weak self] _ in
        self?.state.withLock { _ = $0.open.removeValue(forKey: ObjectIdentifier(channel)) }
      }
    }
    serving.withLock {
      $0 = Task { [control] in
        // Its end is what the tests bring about.
        try? await server.run(on: watched, control: control)
      }
    }
  }

  var calls: [String] { state.withLock { $0.calls } }
  var namespaces: Set<String> { state.withLock { $0.namespaces } }
  var openConnections: Int { state.withLock { $0.open.count } }
  func calls(of method: String) -> [String] { calls.filter { $0.hasPrefix("\(method) ") } }

  func endSandbox(status: UInt32) { state.withLock { $0.exit = status } }

  /// Closes every connection, and goes on listening.
  func dropConnections() {
    for channel in state.withLock({ Array($0.open.values) }) { channel.close(promise: nil) }
  }

  /// Ends as a killed shim does: every connection is lost, and the socket's file refuses.
  func die() async {
    control.close()
    await serving.withLock { $0 }?.value
  }

  private func server() -> GRPCListenerServer {
    var server = GRPCListenerServer()
    func task<Request: Message, Response: Message>(
      _ name: String, _ id: @escaping @Sendable (Request) -> String,
      _ response: Response
    ) {
      server.register(RPCMethod(service: "containerd.task.v3.Task", name: name)) {
        [weak self] (request: Request, context) in
        self?.note("\(name) \(id(request))", context)
        return response
      }
    }
    func sandbox<Request: Message, Response: Message>(
      _ name: String, _ id: @escaping @Sendable (Request) -> String,
      _ respond: @escaping @Sendable () async throws -> Response
    ) {
      server.register(
        RPCMethod(service: "containerd.runtime.sandbox.v1.Sandbox", name: name)
      ) { [weak self] (request: Request, context) in
        self?.note("\(name) \(id(request))", context)
        return try await respond()
      }
    }
    task("Connect", \Containerd_Task_V3_ConnectRequest.id, ConnectAnswer.nobody)
    task(
      "Create", \Containerd_Task_V3_CreateTaskRequest.id,
      Containerd_Task_V3_CreateTaskResponse.with { $0.pid = 4242 })
    task(
      "Start", \Containerd_Task_V3_StartRequest.id,
      Containerd_Task_V3_StartResponse.with { $0.pid = 4242 })
    task(
      "Pids", \Containerd_Task_V3_PidsRequest.id,
      Containerd_Task_V3_PidsResponse.with { $0.processes = [.with { $0.pid = 4242 }] })
    task(
      "Wait", \Containerd_Task_V3_WaitRequest.id,
      Containerd_Task_V3_WaitResponse.with { $0.exitStatus = 7 })
    task(
      "Delete", \Containerd_Task_V3_DeleteRequest.id,
      Containerd_Task_V3_DeleteResponse.with { $0.exitStatus = 7 })
    task("Shutdown", \Containerd_Task_V3_ShutdownRequest.id, Google_Protobuf_Empty())
    sandbox("CreateSandbox", \Containerd_Runtime_Sandbox_V1_CreateSandboxRequest.sandboxID) {
      Containerd_Runtime_Sandbox_V1_CreateSandboxResponse()
    }
    sandbox("StartSandbox", \Containerd_Runtime_Sandbox_V1_StartSandboxRequest.sandboxID) {
      Containerd_Runtime_Sandbox_V1_StartSandboxResponse.with { $0.pid = 4243 }
    }
    sandbox("StopSandbox", \Containerd_Runtime_Sandbox_V1_StopSandboxRequest.sandboxID) {
      [weak self] in
      self?.endSandbox(status: 0)
      return Containerd_Runtime_Sandbox_V1_StopSandboxResponse()
    }
    sandbox("SandboxStatus", \Containerd_Runtime_Sandbox_V1_SandboxStatusRequest.sandboxID) {
      Containerd_Runtime_Sandbox_V1_SandboxStatusResponse.with { $0.state = "SANDBOX_READY" }
    }
    sandbox("ShutdownSandbox", \Containerd_Runtime_Sandbox_V1_ShutdownSandboxRequest.sandboxID) {
      Containerd_Runtime_Sandbox_V1_ShutdownSandboxResponse()
    }
    sandbox("WaitSandbox", \Containerd_Runtime_Sandbox_V1_WaitSandboxRequest.sandboxID) {
      [weak self] in
      while self?.state.withLock({ $0.exit }) == nil {
        try await Task.sleep(for: .milliseconds(5))
      }
      let status = self?.state.withLock { $0.exit }
      return Containerd_Runtime_Sandbox_V1_WaitSandboxResponse.with {
        $0.exitStatus = status ?? 255
      }
    }
    return server
  }

  private enum ConnectAnswer {
    // No process of this number can be: nobody waits for its end.
    static let nobody = Containerd_Task_V3_ConnectResponse.with { $0.shimPid = UInt32.max }
  }

  private func note(_ call: String, _ context: RPCServerContext) {
    state.withLock { state in
      state.calls.append(call)
      state.namespaces.insert(context.metadata["containerd-namespace"] ?? "")
    }
  }
}

/// A listener whose connections' channels are told of.
private struct Watched: Listener {
  let listener: UnixListener
  let onChannel: @Sendable (any Channel) -> Void

  var boundAddress: TransportAddress { listener.boundAddress }
  var statistics: ListenerStatistics { listener.statistics }

  func run(
    policy: PeerPolicy?, configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError) {
    try await listener.run(policy: policy, configure: configure) { connection in
      onChannel(connection.channel)
      await onConnection(connection)
    }
  }

  func close() { listener.close() }
}
