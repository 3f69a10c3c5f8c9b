internal import ContainerdAPI
internal import Glibc
internal import RPCCore
internal import ShimKit
internal import SwiftProtobuf
internal import Synchronization
internal import TransportCore

/// A shim that does as the tests tell it in its environment, and holds tasks in memory alone.
@main
struct TestShim: Shim {
  let name = "io.containerd.kittest.v1"
  let version = ShimVersion("1.2.3", revision: "abc")

  private static func variable(_ name: String) -> String? {
    getenv("KITTEST_\(name)").map { String(cString: $0) }
  }

  var configuration: ShimConfiguration {
    var configuration = ShimConfiguration()
    configuration.socketDirectory = Self.variable("SOCKETS") ?? configuration.socketDirectory
    if Self.variable("VERSIONS") == "2" { configuration.taskVersions = [2] }
    if Self.variable("JSON") == "3" { configuration.jsonVersion = 3 }
    if let listen = Self.variable("LISTEN"),
      let address = try? TransportAddress(parsing: listen)
    {
      configuration.listeners = [address]
    }
    switch Self.variable("CONDUCT") {
    case "off": (configuration.logging, configuration.reaping) = (.off, .off)
    case "children": configuration.reaping = .children
    default: break
    }
    configuration.startLimit = .seconds(60)
    configuration.deleteLimit = Self.variable("HANG") == nil ? .seconds(4) : .milliseconds(200)
    configuration.environment = ["KITTEST_EXTRA": "of the shim's own"]
    configuration.hooks.beforeSpawn = { _ in try Self.fail("before") }
    configuration.hooks.afterSpawn = { pid, request in
      if Self.variable("FAIL") == "after" {
        let note = "\(request.bundle)/failed-after"
        let file = fopen(note, "w")
        if let file {
          fputs("\(pid)", file)
          fclose(file)
        }
      }
      try Self.fail("after")
    }
    return configuration
  }

  private static func fail(_ step: String) throws {
    guard variable("FAIL") == step else { return }
    throw ShimKitError(code: .startFailed, message: "as the test wants it, \(step) the spawn")
  }

  func group(_ request: ShimStartRequest) throws -> String {
    if Self.variable("NOISE") != nil {
      print("a warning on standard output")
      let warning = "a warning on standard error\n"
      write(STDERR_FILENO, warning, warning.utf8.count)
    }
    return try request.annotation("tests/group") ?? request.id
  }

  func register(on services: inout ShimServices, context: ShimContext) async throws {
    if Self.variable("VERSIONS") == "2" {
      services.registerTaskVersion2(MemoryTasks(context))
    } else {
      services.registerTask(MemoryTasks(context))
    }
    context.shutdown.onShutdown("note") {
      if let note = Self.variable("NOTE"), let file = fopen(note, "a") {
        fputs("shut down\n", file)
        fclose(file)
      }
    }
  }

  func delete(_ request: ShimDeleteRequest) async throws -> TaskEnd {
    print("noise")
    if Self.variable("HANG") != nil { try await Task.sleep(for: .seconds(3600)) }
    return TaskEnd(pid: 7, status: 137, at: .with { $0.seconds = 1 })
  }

  func info(_ options: Google_Protobuf_Any?) async throws -> ShimInfo {
    ShimInfo(options: options, annotations: ["of": "the tests"])
  }
}

/// Tasks that are nothing but a name.
private final class MemoryTasks: ShimTaskService {
  private let tasks = Mutex<Set<String>>([])
  private let context: ShimContext

  init(_ context: ShimContext) { self.context = context }

  func create(
    _ request: Containerd_Task_V3_CreateTaskRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_CreateTaskResponse {
    tasks.withLock { _ = $0.insert(request.id) }
    return .with { $0.pid = UInt32(getpid()) }
  }

  func delete(
    _ request: Containerd_Task_V3_DeleteRequest, context: RPCServerContext
  ) async throws -> Containerd_Task_V3_DeleteResponse {
    guard tasks.withLock({ $0.remove(request.id) }) != nil else {
      throw RPCError(code: .notFound, message: "there is no task \(request.id)")
    }
    return .with { $0.pid = UInt32(getpid()) }
  }

  func shutdown(
    _ request: Containerd_Task_V3_ShutdownRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    if tasks.withLock({ $0.isEmpty }) { self.context.shutdown.begin("Shutdown of \(request.id)") }
    return Google_Protobuf_Empty()
  }
}
