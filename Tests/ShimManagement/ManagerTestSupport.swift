import ContainerdClient
import Glibc
import Logging
import RPCCore
import ShimProtocol
import ShimTestKit
import Synchronization
import Testing
import TransportCore
import UnixTransport

@testable import ShimManagement

/// A manager on a state directory of its own, and what the tests need around it.
struct ManagerFixture {
  let scratch: Scratch
  let manager: ShimManager

  /// - Parameter step: called at each step with the path of the namespace's bundles.
  init(
    limits change: (inout ShimManager.Limits) -> Void = { _ in },
    environment: [String: String] = [:], dialers: RPCDialers? = nil,
    onStep step: (@Sendable (ManagerStep, String) -> Void)? = nil
  ) throws {
    scratch = try Scratch()
    var limits = ShimManager.Limits()
    // The tests wait for these when they mean to; those that do not must have none run out.
    limits.lock = .seconds(10)
    // Limits that only a hang reaches: the shim is in this process, among everybody's tests. A test of
    // a limit sets its own.
    limits.query = .seconds(60)
    limits.connect = .seconds(60)
    change(&limits)
    let bundles = "\(scratch.state.bundles)/\(Self.namespace)"
    var configuration = ShimManager.Configuration(
      directory: scratch.state, registry: TransportRegistry([UnixConnector()]), dialers: dialers,
      environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"], limits: limits,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
      onStep: { step?($0, bundles) })
    configuration.shimEnvironment = ShimEnvironment(environment)
    manager = try ShimManager(configuration)
  }

  static let namespace = "tests"
  var bundles: String { "\(scratch.state.bundles)/\(Self.namespace)" }
  func bundlePath(_ id: String) -> String { "\(bundles)/\(id)" }
  func hasBundle(_ id: String) -> Bool { exists(bundlePath(id)) }

  func socket(_ name: String = "shim.sock") -> String { "\(scratch.path)/\(name)" }

  func shim(
    _ name: String = "shim.sock", versions: Set<Int> = [2], hasSandbox: Bool = false,
    answers: [String: FakeShim.Answer] = [:]
  ) throws -> FakeShim {
    try FakeShim(
      at: socket(name), versions: versions, hasSandbox: hasSandbox, answers: answers)
  }

  /// A shim binary whose `start` answers with a fake shim's address, as one of version 3.
  func binary(answering shim: FakeShim) throws -> String {
    try binary(
      start: #"echo '{"version":3,"address":"unix://\#(shim.path)","protocol":"ttrpc"}'"#)
  }

  /// An attach to a sandbox at an address, by its version.
  func request(
    _ id: String, at address: TransportAddress, version: Int = 2, sandbox: String = "pod"
  ) -> ShimManager.AttachRequest {
    ShimManager.AttachRequest(
      namespace: Self.namespace, id: id, sandboxID: sandbox,
      mode: version == 2 ? .version2 : .version3,
      endpoint: SandboxEndpoint(address: address, version: version), spec: minimalSpec)
  }

  func attach(
    _ id: String, to shim: FakeShim, version: Int = 2, sandbox: String = "pod"
  ) async throws -> ShimTask {
    try await manager.attach(request(id, at: shim.address, version: version, sandbox: sandbox))
  }

  /// A script to be run as a shim binary. It notes its arguments, a line each time, in `<name>.calls`.
  ///
  /// - Parameters:
  ///   - start: shell text for `start`.
  ///   - delete: shell text for `delete`. Unless given, it answers with pid 42 and status 137.
  func binary(
    _ name: String = "containerd-shim-test-v1", start: String = "exit 1",
    delete: String = #"printf '\010\052\020\211\001'"#
  ) throws -> String {
    let path = "\(scratch.path)/\(name)"
    try write(
      """
      #!/bin/sh
      echo "$*" >> "\(path).calls"
      for action; do :; done
      case $action in
      start) \(start) ;;
      delete) \(delete) ;;
      esac
      """, to: path)
    try #require(chmod(path, 0o755) == 0)
    return path
  }

  /// The runs of a scripted binary for an action, by the id that each was for.
  func runs(of binary: String, _ action: String) throws -> [String] {
    guard exists("\(binary).calls") else { return [] }
    return try contents("\(binary).calls").split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ").map(String.init)
      guard words.last == action, let flag = words.firstIndex(of: "-id") else { return nil }
      return words[flag + 1]
    }.sorted()
  }

  /// Makes a sandbox's bundle as a process before this one would have left it.
  @discardableResult
  func sandbox(_ id: String = "pod", at shim: FakeShim, version: Int = 2, binary: String? = nil)
    throws -> Bundle
  {
    var spec = try OCISpec(parsing: minimalSpec)
    SandboxMark.markSandbox(&spec, id: id)
    let bundle = try Bundle.create(
      id: id, namespace: Self.namespace, spec: spec.bytes(), in: scratch.state)
    try bundle.files.write(
      BootstrapParams(version: version, address: "unix://\(shim.path)", protocolName: "ttrpc"))
    if let binary { try bundle.files.writeShimBinaryPath(binary) }
    return bundle
  }

  func start(_ id: String, binary: String) async throws -> ShimTask {
    try await manager.start(
      ShimManager.StartRequest(
        namespace: Self.namespace, id: id, runtime: binary, spec: minimalSpec))
  }
}

/// Waits until a condition holds, for as long as a stalled machine might need.
func eventually(
  _ what: Comment, _ condition: () async throws -> Bool,
  sourceLocation: SourceLocation = #_sourceLocation
) async throws {
  let deadline = ContinuousClock.now + .seconds(30)
  while try await !condition() {
    if ContinuousClock.now > deadline {
      Issue.record(what, sourceLocation: sourceLocation)
      return
    }
    try await Task.sleep(for: .milliseconds(5))
  }
}

/// A socket that takes connections (the kernel does) and never says a word.
func muteSocket(at path: String) throws -> UnixListener {
  try UnixListener(bindingTo: TransportAddress(place: .unix(path: path)))
}

/// Collects the values of a stream while a test goes on.
final class Collected<Element: Sendable>: Sendable {
  private let state = Mutex<[Element]>([])
  private let task: Mutex<Task<Void, Never>?> = Mutex(nil)

  init(_ stream: AsyncStream<Element>) {
    task.withLock {
      $0 = Task { [weak self] in
        for await element in stream { self?.state.withLock { $0.append(element) } }
      }
    }
  }

  deinit { task.withLock { $0?.cancel() } }

  var all: [Element] { state.withLock { $0 } }
}

/// What happened so far, told from anywhere.
final class Noted<Element: Sendable>: Sendable {
  private let state = Mutex<[Element]>([])

  func add(_ element: Element) { state.withLock { $0.append(element) } }
  var all: [Element] { state.withLock { $0 } }
}
