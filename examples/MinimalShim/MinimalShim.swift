// A shim of one's own: every container is a plain process of the host, without any OCI runtime.
//
//   ctr run --rm --runtime /path/to/containerd-shim-minimal-v1 IMAGE NAME /bin/echo hello
internal import ContainerdAPI
internal import Glibc
internal import ProcessSupervision
internal import RPCCore
internal import ShimKit
internal import SwiftProtobuf

@main
struct MinimalShim: Shim {
  let name = "io.containerd.minimal.v1"
  let version = ShimVersion("1.0")

  func register(on services: inout ShimServices, context: ShimContext) async throws {
    services.registerTask(Containers(shutdown: context.shutdown))
  }

  /// The process that served is gone, its containers' processes are not.
  func delete(_ request: ShimDeleteRequest) async throws -> TaskEnd {
    let process = try ShimBundle(request.bundle).recorded()
    process?.signal(SIGKILL)
    return TaskEnd(pid: UInt32(process?.pid ?? 0), status: 137)
  }
}

private actor Containers: ShimTaskService {
  private struct Container {
    let create: CreateRequest
    var process: ChildProcess?
    let end = Awaited<TaskEnd>()
  }

  private let ending: ShimShutdown
  private var containers: [String: Container] = [:]

  init(shutdown: ShimShutdown) { ending = shutdown }

  private func find(_ id: String) throws -> Container {
    guard let container = containers[id] else { throw RPCError(code: .notFound, message: id) }
    return container
  }

  func create(_ request: CreateRequest, context: Context) throws -> CreateResponse {
    guard containers[request.id] == nil else { throw RPCError(code: .alreadyExists, message: "") }
    guard !request.terminal else { throw RPCError(code: .unimplemented, message: "no terminals") }
    containers[request.id] = Container(create: request)
    return CreateResponse()
  }

  func start(_ request: StartRequest, context: Context) throws -> StartResponse {
    let (container, bundle) = (try find(request.id), ShimBundle(try find(request.id).create.bundle))
    let spec = try bundle.spec()
    var command = Command(
      spec.arguments.first ?? "", arguments: Array(spec.arguments.dropFirst()),
      environment: spec.environment, directory: bundle.path)
    for (number, path) in [(1, container.create.stdout), (2, container.create.stderr)] {
      // Opened both ways a fifo makes nobody wait.
      let file = path.isEmpty ? -1 : open(path, O_RDWR | O_CLOEXEC)
      if file >= 0 { command.descriptors[Int32(number)] = file }
    }
    defer { for file in command.descriptors.values { close(file) } }
    let process = try command.spawn()
    containers[request.id]?.process = process
    Task {
      let status = try await process.wait()
      container.end.set(TaskEnd(pid: UInt32(process.pid), status: UInt32(status.code)))
    }
    if let identity = ProcessIdentity(pid: process.pid) { try bundle.record(identity) }
    return .with { $0.pid = UInt32(process.pid) }
  }

  func state(_ request: StateRequest, context: Context) throws -> StateResponse {
    let (container, end) = (try find(request.id), try find(request.id).end.current)
    return .with {
      ($0.id, $0.bundle, $0.exitStatus) = (request.id, container.create.bundle, end?.status ?? 0)
      $0.pid = UInt32(container.process?.pid ?? 0)
      $0.status = end != nil ? .stopped : container.process != nil ? .running : .created
    }
  }

  func wait(_ request: WaitRequest, context: Context) async throws -> WaitResponse {
    let end = try await find(request.id).end.get()
    return .with { ($0.exitStatus, $0.exitedAt) = (end.status, end.at) }
  }

  func kill(_ request: KillRequest, context: Context) throws -> Empty {
    guard try find(request.id).process?.signalGroup(Int32(request.signal)) == true else {
      throw RPCError(code: .notFound, message: "\(request.id) does not run")
    }
    return Empty()
  }

  func delete(_ request: DeleteRequest, context: Context) throws -> DeleteResponse {
    let (container, end) = (try find(request.id), try find(request.id).end.current)
    guard end != nil || container.process == nil else {
      throw RPCError(code: .failedPrecondition, message: "\(request.id) runs")
    }
    containers[request.id] = nil
    return .with { ($0.pid, $0.exitStatus) = (end?.pid ?? 0, end?.status ?? 0) }
  }

  func shutdown(_ request: ShutdownRequest, context: Context) -> Empty {
    if containers.isEmpty { ending.begin("no container is left") }
    return Empty()
  }
}
