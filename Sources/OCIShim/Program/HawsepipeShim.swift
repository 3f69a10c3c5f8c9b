internal import ContainerdAPI
internal import FoundationEssentials  // For Data, which is what SwiftProtobuf keeps bytes in.
internal import Glibc
internal import Logging
internal import ProcessSupervision
public import ShimKit
public import SwiftProtobuf
internal import TransportCore

/// The shim `io.containerd.hawsepipe.v1`: containers by runc or crun, one process for each pod.
public struct HawsepipeShim: Shim {
  public let name = "io.containerd.hawsepipe.v1"
  public let version = ShimVersion("0.1.0")

  public init() {}

  public var configuration: ShimConfiguration {
    var configuration = ShimConfiguration()
    // Of text that `start` has not refused.
    configuration.listeners = (try? FurtherListeners.addresses(Self.environment)) ?? []
    configuration.hooks.beforeSpawn = { request in
      // Read here, where what is wrong with them leaves nothing behind.
      _ = try Self.options(request)
      _ = try FurtherListeners.addresses(request.environment)
      _ = try Self.eventsAddress(request.eventsAddress)
      if request.environment["SCHED_CORE"]?.isEmpty == false { try ShimPlacement.takeCores() }
    }
    configuration.hooks.afterSpawn = { pid, request in
      let group = try Self.options(request).shimCgroup
      if !group.isEmpty { try ShimPlacement.move(pid, intoCgroup: group) }
      try ShimPlacement.adjustOOMScore(of: pid)
    }
    return configuration
  }

  /// Those of runc's own shim first, so that a pod of either has one process.
  public func group(_ request: ShimStartRequest) throws -> String {
    try request.annotation("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")
      ?? request.id
  }

  /// Daemons give a bare path.
  private static func eventsAddress(_ text: String) throws(OCIShimError) -> TransportAddress {
    do {
      return try TransportAddress.parseLenient(text).address
    } catch {
      throw OCIShimError(
        code: .invalidOptions,
        message: "TTRPC_ADDRESS does not say where the events of containers are to go",
        hint: "It is the path of the daemon's ttrpc socket, which need not exist yet.", cause: error
      )
    }
  }

  private static var environment: [String: String] {
    getenv(FurtherListeners.variable).map { [FurtherListeners.variable: String(cString: $0)] }
      ?? [:]
  }

  private static func options(_ request: ShimStartRequest) throws(OCIShimError) -> RuntimeOptions {
    let known = request.extensions.first {
      TypeURL.names($0.typeURL, Containerd_Runc_V1_Options.self)
        || TypeURL.names($0.typeURL, Runtimeoptions_V1_Options.self)
    }
    return try RuntimeOptions(known)
  }

  public func register(on services: inout ShimServices, context: ShimContext) async throws {
    let reaper = try Reaper.start()
    let events = EventPublisher(
      to: try Self.eventsAddress(context.eventsAddress),
      namespace: context.namespace, configuration: .init(logger: context.logger))
    let sandboxes = OCISandboxService(
      namespace: context.namespace, logger: context.logger, metrics: ContainerCgroups(),
      shutDown: { context.shutdown.begin("the sandbox is shut down") })
    var service = OCITaskService.Configuration(
      namespace: context.namespace, logger: context.logger)
    service.noteAttached(in: context.bundle)
    let tasks = OCITaskService(
      service, events: events,
      exits: ReaperExits(reaper), metrics: ContainerCgroups(), memory: ContainerMemory(),
      mounts: BundleMounts(),
      shutDown: {
        if !sandboxes.isInUse { context.shutdown.begin("no container is left") }
      })
    sandboxes.refuseShutDown { tasks.hasContainers }
    services.registerTask(tasks)
    sandboxes.register(on: &services)
    context.describeState {
      """
      \(sandboxes.stateDescription)
      \(tasks.stateDescription)
      events that wait for the daemon: \(events.waiting), given up: \(events.dropped)
      """
    }
    context.shutdown.onShutdown("tasks and events") {
      await tasks.close()
      let left = await events.drain(within: .seconds(5))
      if left > 0 {
        context.logger.error("events were not delivered", metadata: ["count": "\(left)"])
      }
      await events.close()
    }
  }

  public func delete(_ request: ShimDeleteRequest) async throws -> TaskEnd {
    async let end = DeadContainer(request).cleanUp()
    await DeadPod(request: request).endContainers()
    return try await end
  }

  /// With the features of the runtime that the options name, as JSON: a daemon that is to map ids of
  /// mounts asks for them first.
  ///
  /// - Throws: `invalidOptions`, `runtimeNotFound`.
  public func info(_ options: Google_Protobuf_Any?) async throws -> ShimInfo {
    let runtime = OCIRuntime(
      options: try RuntimeOptions(options), namespace: "default", directory: "/tmp")
    var info = ShimInfo(options: options)
    do throws(OCIShimError) {
      var features = Google_Protobuf_Any()
      features.typeURL = Self.featuresType
      features.value = Data(try await runtime.run(.features))
      info.features = features
    } catch {
      // Older runtimes have no such command, and work all the same.
      guard error.code != .runtimeNotFound else { throw error }
      DeadContainer.sayOnStandardError("the runtime's features are not known: \(error)")
    }
    return info
  }

  /// As containerd names what is Go's own and no protobuf message.
  private static let featuresType =
    "types.containerd.io/opencontainers/runtime-spec/1/features/Features"
}
