internal import ContainerdAPI
internal import Glibc
internal import NIOCore
public import RPCCore
internal import ShimKit
internal import SwiftProtobuf
internal import Synchronization
internal import TTRPC
public import TransportCore
internal import UnixTransport

/// A shim for tests of whoever calls shims: it serves the task API, and the sandbox API if it is to, on
/// a unix socket in this process, answers as it is told and notes what it was asked. Its one task has
/// the pid 4242 and ends with 7; its sandbox has the pid 4243.
public final class FakeShim: Sendable {
  public enum Answer: Sendable {
    case success
    case failure(RPCCode, String = "as the test wants it")
    /// Nothing, for as long as the connection lasts.
    case never
  }

  public let path: String
  public let address: TransportAddress
  private let listener: UnixListener
  private let serving: Mutex<Task<Void, Never>?> = Mutex(nil)
  private let state: Mutex<State>

  private struct State {
    var answers: [String: Answer]
    public var calls: [String] = []
    var connections = 0
    var open: [ObjectIdentifier: any Channel] = [:]
    var pids: [UInt32] = [4242]
    var sandbox = FakeSandbox()
  }

  /// Listens at the path, in place of a socket that nobody serves.
  ///
  /// - Parameters:
  ///   - versions: of the task API; what it is asked in another one is Unimplemented.
  ///   - hasSandbox: whether it serves the sandbox API.
  ///   - answers: by the method's name. What is not named succeeds, but Wait, which is never answered.
  /// - Throws: when it cannot listen there.
  public init(
    at path: String, versions: Set<Int> = [2], hasSandbox: Bool = false,
    answers: [String: Answer] = [:]
  ) throws(TransportError) {
    self.path = path
    address = TransportAddress(rpc: .ttrpc, place: .unix(path: path))
    state = Mutex(State(answers: ["Wait": .never].merging(answers) { $1 }))
    listener = try UnixListener(
      bindingTo: TransportAddress(place: .unix(path: path)),
      options: .init(replacing: true, leavesFile: true))
    let server = server(versions, hasSandbox: hasSandbox)
    serving.withLock { task in
      task = Task { [listener, weak self] in
        // Its end is what the tests bring about.
        try? await listener.run { channel in
          try server.configure(channel)
        } onConnection: { [weak self] connection in
          let channel = connection.channel
          self?.state.withLock { state in
            state.connections += 1
            state.open[ObjectIdentifier(channel)] = channel
          }
          // A channel's close future cannot fail.
          try? await channel.closeFuture.get()
          self?.state.withLock { _ = $0.open.removeValue(forKey: ObjectIdentifier(channel)) }
        }
      }
    }
  }

  /// `v3 Create web`, in the order of arrival, without the Connect by which a manager sees whether
  /// anybody answers.
  public var calls: [String] {
    state.withLock { $0.calls }.filter { !$0.contains(" Connect ") }
  }
  /// How many connections were accepted so far.
  public var connections: Int { state.withLock { $0.connections } }

  /// The calls of one method, such as `Create`.
  public func calls(of method: String) -> [String] {
    state.withLock { $0.calls }.filter { $0.split(separator: " ")[1] == method }
  }

  /// Answers a method so from now on.
  public func answer(_ method: String, with answer: Answer) {
    state.withLock { $0.answers[method] = answer }
  }

  /// What it says from now on that the processes of every task are.
  public func setPids(_ pids: [UInt32]) { state.withLock { $0.pids = pids } }

  /// How many connections there are now.
  public var openConnections: Int { state.withLock { $0.open.count } }

  /// Closes every connection, and goes on listening.
  public func dropConnections() {
    for channel in state.withLock({ Array($0.open.values) }) { channel.close(promise: nil) }
  }

  /// Ends as a killed shim does: every connection is lost, and the socket's file refuses.
  public func die() async {
    let task = serving.withLock { task in
      defer { task = nil }
      return task
    }
    task?.cancel()
    await task?.value
  }

  /// Ends the sandbox, which whoever waits for it is told. The shim goes on.
  public func endSandbox(status: UInt32) {
    state.withLock { state in
      state.sandbox.state = "SANDBOX_NOTREADY"
      return state.sandbox.end
    }.set(status)
  }

  /// What the sandbox's state is said to be from now on.
  public func setSandboxState(_ text: String) {
    state.withLock { $0.sandbox.state = text }
  }

  private func server(_ versions: Set<Int>, hasSandbox: Bool) -> TTRPCServer {
    var server = TTRPCServer()
    if hasSandbox { addSandbox(to: &server) }
    for version in versions {
      add("Create", version, to: &server) { (request: Containerd_Task_V3_CreateTaskRequest) in
        (request.id, Containerd_Task_V3_CreateTaskResponse.with { $0.pid = 4242 })
      }
      add("Start", version, to: &server) { (request: Containerd_Task_V3_StartRequest) in
        (request.id, Containerd_Task_V3_StartResponse.with { $0.pid = 4242 })
      }
      add("State", version, to: &server) { (request: Containerd_Task_V3_StateRequest) in
        (
          request.id,
          Containerd_Task_V3_StateResponse.with {
            $0.id = request.id
            $0.pid = 4242
            $0.status = .running
          }
        )
      }
      add("Wait", version, to: &server) { (request: Containerd_Task_V3_WaitRequest) in
        (request.id, Containerd_Task_V3_WaitResponse.with { $0.exitStatus = 7 })
      }
      add("Delete", version, to: &server) { (request: Containerd_Task_V3_DeleteRequest) in
        (
          request.id,
          Containerd_Task_V3_DeleteResponse.with {
            $0.pid = 4242
            $0.exitStatus = 7
          }
        )
      }
      add("Pids", version, to: &server) { [weak self] (request: Containerd_Task_V3_PidsRequest) in
        let pids = self?.state.withLock { $0.pids } ?? []
        return (
          request.id,
          Containerd_Task_V3_PidsResponse.with {
            $0.processes = pids.map { pid in .with { $0.pid = pid } }
          }
        )
      }
      add("Connect", version, to: &server) { (request: Containerd_Task_V3_ConnectRequest) in
        // No process of this number can be: nobody waits for its end.
        (request.id, Containerd_Task_V3_ConnectResponse.with { $0.shimPid = UInt32.max })
      }
      add("Shutdown", version, to: &server) { (request: Containerd_Task_V3_ShutdownRequest) in
        (request.id, Google_Protobuf_Empty())
      }
    }
    return server
  }

  private func add<Request: Message, Response: Message>(
    _ method: String, _ version: Int, to server: inout TTRPCServer,
    _ respond: @escaping @Sendable (Request) -> (String, Response)
  ) {
    let method = RPCMethod(service: "containerd.task.v\(version).Task", name: method)
    add(method, as: "v\(version)", to: &server) {
      respond($0).0
    } answer: {
      respond($0).1
    }
  }

  /// - Parameter id: what a request is about.
  func add<Request: Message, Response: Message>(
    _ method: RPCMethod, as service: String, to server: inout TTRPCServer,
    id: @escaping @Sendable (Request) -> String,
    answer respond: @escaping @Sendable (Request) async throws -> Response
  ) {
    server.register(method) { [weak self] (request: Request, _) in
      switch self?.note("\(service) \(method.name) \(id(request))", method.name) {
      case nil, .success: break
      case .failure(let code, let text): throw RPCError(code: code, message: text)
      case .never: try await Task.sleep(for: .seconds(3600))
      }
      return try await respond(request)
    }
  }

  private func note(_ call: String, _ method: String) -> Answer? {
    state.withLock { state in
      state.calls.append(call)
      return state.answers[method]
    }
  }

  func withSandbox<Value: Sendable>(_ body: (inout FakeSandbox) -> Value) -> Value {
    state.withLock { body(&$0.sandbox) }
  }
}
