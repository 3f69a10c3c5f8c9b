public import ContainerdAPI
internal import Glibc
internal import LinuxSystem
public import ProcessSupervision
internal import ShimKit
public import ShimProtocol
public import SwiftProtobuf
internal import Synchronization
public import TTRPC
internal import TransportCore
internal import UnixTransport

/// containerd's side of a shim's program, without containerd and without root: runs `start` and
/// `delete` as a generation of daemons does, makes bundles, takes events, reads logs.
///
/// ```swift
/// let daemon = try FakeDaemon(.v2_3)
/// let shim = try await daemon.start("/path/to/containerd-shim-mine-v1", id: "web")
/// try await daemon.withClient(of: shim) { client in
///   let tasks = Containerd_Task_V3_TaskClient(caller: client)
///   …
/// }
/// _ = try await daemon.delete("/path/to/containerd-shim-mine-v1", id: "web")
/// ```
public final class FakeDaemon: Sendable {
  /// How daemons run a shim.
  public enum Generation: String, CaseIterable, Sendable {
    /// containerd 1.6: the runtime's options on standard input, a bare address as the answer.
    case v1_6 = "1.6"
    /// containerd 1.7 to 2.2: the same, with JSON as the answer.
    case v1_7 = "1.7"
    /// containerd 2.3 and newer: a protobuf message each way.
    case v2_3 = "2.3"
  }

  /// A shim that answered `start`.
  public struct Started: Sendable, Hashable {
    public var parameters: BootstrapParams
    /// How it answered.
    public var dialect: BootstrapReply.Dialect
  }

  /// Which one it is, unless a start says otherwise: daemons are upgraded while shims run.
  public let generation: Generation
  public let namespace: String
  /// What the daemon hears of tasks.
  public let events: EventRecorder
  private let scratch: ScratchDirectory
  private let logs = Mutex<[String: Log]>([:])

  /// - Parameter namespace: containerd's, of every task.
  /// - Throws: `system`.
  public init(_ generation: Generation, namespace: String = "tests") throws(ShimTestKitError) {
    self.generation = generation
    self.namespace = namespace
    scratch = try ScratchDirectory()
    events = try EventRecorder(at: "\(scratch.path)/events.sock")
  }

  /// What is the daemon's own is below it: bundles, the events' socket.
  public var directory: String { scratch.path }

  /// The daemon's gRPC address, at which nobody serves.
  public var address: String { "\(directory)/grpc.sock" }

  /// The bundle of an id.
  public func bundle(_ id: String) -> String { "\(directory)/\(id)" }

  /// Makes a bundle: `config.json`, an empty `rootfs`, and the `log` that the shim writes to. What is
  /// there stays.
  ///
  /// - Parameter configuration: the OCI specification, as JSON.
  /// - Throws: `system`.
  public func makeBundle(
    _ id: String, configuration: String = "{}"
  ) throws(ShimTestKitError) {
    guard access(bundle(id), F_OK) != 0 else { return }
    _ = try scratch.makeDirectory(id)
    _ = try scratch.makeDirectory("\(id)/rootfs")
    try scratch.write("\(id)/config.json", configuration)
    let log = try Log("\(bundle(id))/log")
    logs.withLock { $0[id] = log }
  }

  /// Runs the program's `start` in the id's bundle, which is made when it is not there.
  ///
  /// - Parameters:
  ///   - program: the shim's path.
  ///   - generation: the daemon's own, unless given.
  ///   - options: the runtime's.
  ///   - environment: as `NAME=value`, beside what a daemon gives.
  ///   - limit: how long it may take.
  /// - Throws: `shimFailed` when it fails, prints anything on standard error, or answers what no
  ///   daemon would take.
  public func start(
    _ program: String, id: String, as generation: Generation? = nil,
    options: Google_Protobuf_Any? = nil, environment: [String] = [],
    within limit: Duration = .seconds(60)
  ) async throws -> Started {
    let output = try await run(
      program, id: id, as: generation, options: options, environment: environment, within: limit)
    guard output.status.isSuccess, output.standardError.isEmpty else {
      throw ShimTestKitError(
        code: .shimFailed,
        message: "start of \(id) \(output.status), and printed "
          + String(decoding: output.standardError, as: UTF8.self))
    }
    do {
      let reply = try BootstrapReply(output.standardOutput)
      return Started(parameters: reply.params, dialect: reply.dialect)
    } catch {
      throw ShimTestKitError(
        code: .shimFailed, message: "start of \(id) did not answer as a shim does", cause: error)
    }
  }

  /// Runs the program's `start`, and gives what it printed as it is.
  public func run(
    _ program: String, id: String, as generation: Generation? = nil,
    options: Google_Protobuf_Any? = nil, environment: [String] = [],
    within limit: Duration = .seconds(60)
  ) async throws -> CapturedOutput {
    try makeBundle(id)
    let generation = generation ?? self.generation
    var variables = ["TTRPC_ADDRESS=\(events.path)", "GOMAXPROCS=2"]
    if generation != .v1_6 { variables += ["MAX_SHIM_VERSION=2", "NAMESPACE=\(namespace)"] }
    return try await Command(
      program, arguments: flags(id) + ["start"], environment: variables + environment,
      directory: bundle(id)
    ).run(input: try input(id, generation, options), timeout: limit)
  }

  private func input(
    _ id: String, _ generation: Generation, _ options: Google_Protobuf_Any?
  ) throws -> [UInt8] {
    guard generation == .v2_3 else { return try options?.serializedBytes() ?? [] }
    return try Containerd_Runtime_Bootstrap_V1_BootstrapParams.with {
      $0.instanceID = id
      $0.namespace = namespace
      $0.containerdGrpcAddress = address
      $0.containerdTtrpcAddress = events.path
      if let options {
        $0.extensions = [.with { $0.value = options }]
      }
    }.serializedBytes()
  }

  /// Runs the program's `delete`, as daemons do behind a shim that is gone.
  ///
  /// - Throws: `shimFailed`.
  public func delete(
    _ program: String, id: String, environment: [String] = [], within limit: Duration = .seconds(60)
  ) async throws -> Containerd_Task_V3_DeleteResponse {
    let output = try await runDelete(program, id: id, environment: environment, within: limit)
    guard output.status.isSuccess else {
      throw ShimTestKitError(
        code: .shimFailed,
        message: "delete of \(id) \(output.status), and printed "
          + String(decoding: output.standardError, as: UTF8.self))
    }
    return try Containerd_Task_V3_DeleteResponse(serializedBytes: output.standardOutput)
  }

  /// Runs the program's `delete`, and gives what it printed as it is.
  public func runDelete(
    _ program: String, id: String, environment: [String] = [], within limit: Duration = .seconds(60)
  ) async throws -> CapturedOutput {
    try await Command(
      program, arguments: flags(id) + ["-bundle", bundle(id), "delete"],
      environment: ["TTRPC_ADDRESS=\(events.path)"] + environment, directory: bundle(id)
    ).run(timeout: limit)
  }

  private func flags(_ id: String) -> [String] {
    ["-namespace", namespace, "-address", address, "-publish-binary", "/bin/true", "-id", id]
  }

  /// Connects to a shim, and runs the body with a client of it.
  public func withClient<Value: Sendable>(
    of shim: Started, _ body: (TTRPCClient) async throws -> Value
  ) async throws -> Value {
    try await withTTRPCClient(
      to: try TransportAddress.parseLenient(shim.parameters.address).address,
      using: TransportRegistry([UnixConnector()]), options: ConnectOptions(timeout: .seconds(60)),
      body)
  }

  /// What the shims of an id have logged since this was asked last. The fifo keeps 64 KiB for it.
  ///
  /// - Throws: `system`.
  public func log(of id: String) throws(ShimTestKitError) -> String {
    try logs.withLock { logs throws(ShimTestKitError) in try logs[id]?.read() ?? "" }
  }

  /// Stops taking events, and waits until that is over. Shims are the test's own to end.
  public func stop() async { await events.stop() }
}

/// A `log` fifo, held open so that nobody who writes to it waits for a reader.
private final class Log: Sendable {
  private let path: String
  private let descriptor: OwnedDescriptor

  init(_ path: String) throws(ShimTestKitError) {
    self.path = path
    guard mkfifo(path, 0o600) == 0 else {
      throw ShimTestKitError(
        code: .system, message: "cannot make \(path)", cause: SystemError.last("mkfifo"))
    }
    do {
      descriptor = try OwnedDescriptor(opening: path, O_RDWR | O_NONBLOCK)
    } catch {
      throw ShimTestKitError(code: .system, message: "cannot open \(path)", cause: error)
    }
  }

  func read() throws(ShimTestKitError) -> String {
    var all: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = retryingInterrupts { Glibc.read(descriptor.number, &chunk, chunk.count) }
      if count < 0, errno != EAGAIN {
        throw ShimTestKitError(
          code: .system, message: "cannot read \(path)", cause: SystemError.last("read"))
      }
      guard count > 0 else { return String(decoding: all, as: UTF8.self) }
      all += chunk[..<count]
    }
  }
}
