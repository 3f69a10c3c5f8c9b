public import Logging
public import MemoryTransport
internal import ProcessSupervision
internal import RPCCore
public import ShimKit
internal import Synchronization
public import TTRPC
public import TransportCore

/// What a shim serves, in the test's own process at `memory://`: neither a program, nor a socket, nor
/// root. Its `start` and `delete` have no part in it; ``FakeDaemon`` runs those.
///
/// A shim that starts a `Reaper` makes this process's other children its own: run such a test in a
/// process of its own (an exit test).
public final class InProcessShim: Sendable {
  /// Where it serves, in ``network``.
  public let address: TransportAddress
  public let network = MemoryNetwork()
  /// What it sends of its tasks.
  public let events: EventRecorder
  private let directory: ScratchDirectory
  private let shutdown: ShimShutdown
  private let control = RPCServerControl()
  private let drainLimit: Duration
  private let serving = Mutex<Task<Void, Never>?>(nil)

  /// Registers the shim's services, and serves them.
  ///
  /// - Parameters:
  ///   - shim: of its configuration, the limits and `beforeServing` are heeded.
  ///   - id: of the task or sandbox that it is started for.
  /// - Throws: what the shim throws; ``ShimTestKitError``.
  public init(
    _ shim: some Shim, namespace: String = "tests", id: String = "test",
    environment: [String: String] = [:], logger: Logger = Logger(label: "shim")
  ) async throws {
    directory = try ScratchDirectory()
    let bundle = try directory.makeDirectory("bundle")
    events = try EventRecorder(at: "\(directory.path)/events.sock")
    address = TransportAddress(rpc: .ttrpc, place: .memory(name: "shim"))
    let configuration = shim.configuration
    shutdown = ShimShutdown(limit: configuration.shutdownLimit)
    drainLimit = configuration.drainLimit
    let context = ShimContext(
      namespace: namespace, id: id, bundle: bundle, debug: false, address: address,
      daemonAddress: "\(directory.path)/grpc.sock", eventsAddress: events.path,
      environment: environment, logger: logger, shutdown: shutdown)
    do {
      try await configuration.hooks.beforeServing(context)
      var services = ShimServices()
      try await shim.register(on: &services, context: context)
      try await serve(services.server)
    } catch {
      await events.stop()
      throw error
    }
  }

  private func serve(_ server: TTRPCServer) async throws {
    let listener = try await MemoryListenerFactory(network: network).listen(
      at: TransportAddress(place: .memory(name: "shim")), options: ListenOptions())
    let control = control
    let task = Task { await Self.run(server, listener, control) }
    serving.withLock { $0 = task }
  }

  private static func run(
    _ server: TTRPCServer, _ listener: some Listener, _ control: RPCServerControl
  ) async {
    // A listener in memory ends when the control says so, and not before.
    try? await server.run(on: listener, control: control)
  }

  /// The directory that the bundle is in, for what else the test needs.
  public var bundle: String { "\(directory.path)/bundle" }

  /// Whether the shim has begun to end, as it does after `Shutdown` when it has no task.
  public var isShuttingDown: Bool { shutdown.hasBegun }

  /// Connects, and runs the body with a client.
  public func withClient<Value: Sendable>(
    _ body: (TTRPCClient) async throws -> Value
  ) async throws -> Value {
    try await withTTRPCClient(
      to: address, using: TransportRegistry([MemoryConnector(network: network)]),
      options: ConnectOptions(timeout: .seconds(60)), body)
  }

  /// Ends it as a signal does: its callbacks, then what is under way, then the events.
  ///
  /// - Returns: which of the shim's callbacks failed, or took too long.
  public func stop() async -> [ShimShutdown.Failure] {
    shutdown.begin("the test is over")
    let failures = await shutdown.wait()
    await control.shutDown(within: drainLimit)
    let task = serving.withLock { task in
      defer { task = nil }
      return task
    }
    await task?.value
    await events.stop()
    return failures
  }
}
