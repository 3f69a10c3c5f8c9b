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
  func delete(_ request: DeleteRequest) async throws -> TaskEnd {
    let process = try ShimBundle(request.bundle).recorded()
    process?.signal(SIGKILL)
    return TaskEnd(pid: UInt32(process?.pid ?? 0), status: 137)
  }
}

private actor Containers: ShimTaskService {
  private struct Container {
    let create: Containerd_Task_V3_CreateTaskRequest
    let spec: BundleSpec
    var process: ChildProcess?
    let end = Awaited<TaskEnd>()
  }

  private let onEmpty: ShimShutdown
  private var containers: [String: Container] = [:]

  init(shutdown: ShimShutdown) { onEmpty = shutdown }

  func create(_ request: Containerd_Task_V3_CreateTaskRequest, context: RPCServerContext)
    throws -> Containerd_Task_V3_CreateTaskResponse
  {
    guard containers[request.id] == nil else { throw RPCError(code: .alreadyExists, message: "") }
    guard !request.terminal else { throw RPCError(code: .unimplemented, message: "no terminals") }
    let spec = try ShimBundle(request.bundle).spec()
    containers[request.id] = Container(create: request, spec: spec)
    return Containerd_Task_V3_CreateTaskResponse()
  }

  func start(_ request: Containerd_Task_V3_StartRequest, context: RPCServerContext)
    throws -> Containerd_Task_V3_StartResponse
  {
    let container = try find(request.id)
    guard container.process == nil, let program = container.spec.arguments.first else {
      throw RPCError(code: .failedPrecondition, message: "it was started, or has nothing to run")
    }
    var command = Command(
      program, arguments: Array(container.spec.arguments.dropFirst()),
      environment: container.spec.environment, directory: container.create.bundle)
    let paths = [container.create.stdin, container.create.stdout, container.create.stderr]
    for (number, path) in paths.enumerated() where !path.isEmpty {
      // Opened both ways a fifo makes nobody wait; but who reads would never see its end.
      let file = open(path, (number == 0 ? O_RDONLY | O_NONBLOCK : O_RDWR) | O_CLOEXEC)
      if file >= 0 { command.descriptors[Int32(number)] = file }
    }
    defer { for file in command.descriptors.values { close(file) } }
    let process = try command.spawn()
    containers[request.id]?.process = process
    Task {
      let status = try await process.wait()
      container.end.set(TaskEnd(pid: UInt32(process.pid), status: UInt32(status.code)))
    }
    if let identity = ProcessIdentity(pid: process.pid) {
      try ShimBundle(container.create.bundle).record(identity)
    }
    return .with { $0.pid = UInt32(process.pid) }
  }

  func state(_ request: Containerd_Task_V3_StateRequest, context: RPCServerContext)
    throws -> Containerd_Task_V3_StateResponse
  {
    let container = try find(request.id)
    let end = container.end.current
    return .with {
      $0.id = request.id
      $0.bundle = container.create.bundle
      $0.pid = UInt32(container.process?.pid ?? 0)
      $0.status = end != nil ? .stopped : container.process != nil ? .running : .created
      $0.exitStatus = end?.status ?? 0
    }
  }

  func wait(_ request: Containerd_Task_V3_WaitRequest, context: RPCServerContext)
    async throws -> Containerd_Task_V3_WaitResponse
  {
    let end = try await find(request.id).end.get()
    return .with { ($0.exitStatus, $0.exitedAt) = (end.status, end.at) }
  }

  func kill(_ request: Containerd_Task_V3_KillRequest, context: RPCServerContext)
    throws -> Google_Protobuf_Empty
  {
    guard try find(request.id).process?.signalGroup(Int32(request.signal)) == true else {
      throw RPCError(code: .notFound, message: "\(request.id) does not run")
    }
    return Google_Protobuf_Empty()
  }

  func delete(_ request: Containerd_Task_V3_DeleteRequest, context: RPCServerContext)
    throws -> Containerd_Task_V3_DeleteResponse
  {
    let container = try find(request.id)
    let end = container.end.current
    guard end != nil || container.process == nil else {
      throw RPCError(code: .failedPrecondition, message: "\(request.id) runs")
    }
    containers[request.id] = nil
    return .with {
      ($0.pid, $0.exitStatus) = (end?.pid ?? 0, end?.status ?? 0)
      if let at = end?.at { $0.exitedAt = at }
    }
  }

  func shutdown(_ request: Containerd_Task_V3_ShutdownRequest, context: RPCServerContext)
    -> Google_Protobuf_Empty
  {
    if containers.isEmpty { onEmpty.begin("no container is left") }
    return Google_Protobuf_Empty()
  }

  private func find(_ id: String) throws -> Container {
    guard let container = containers[id] else { throw RPCError(code: .notFound, message: id) }
    return container
  }
}
