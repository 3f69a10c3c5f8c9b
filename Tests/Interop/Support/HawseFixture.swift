import FoundationEssentials
import Glibc
import Hawsepipe
import ProcessSupervision
import ShimManagement
import ShimProtocol
import Testing

/// The built `hawse` with a state directory, a root directory and a namespace that no other test has.
///
/// A test does its work within ``use(_:)``, behind which everything is torn down, and nothing may be
/// left on the host.
final class HawseFixture: Sendable {
  let directory: String
  let namespace: String
  let rootfs: String
  /// What sandboxes are started with.
  let shim: ServingShim
  private let ids = Guarded<Set<String>>([])
  private let processes = Guarded<[HawseProcess]>([])

  /// Short: a socket's path has little room.
  var state: String { "\(directory)/s" }
  var root: String { "\(directory)/r" }
  var stateDirectory: StateDirectory { StateDirectory(state: state, root: root) }

  private init(directory: String, rootfs: String, shim: ServingShim) {
    self.directory = directory
    self.rootfs = rootfs
    self.shim = shim
    // mkdtemp's letters, which are unique on this host for as long as the directory is there.
    namespace = "t" + String(directory.suffix(6))
  }

  /// Runs a test's body, then removes every sandbox and task and checks that nothing is left.
  static func use(
    _ shim: ServingShim = .debian, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: (HawseFixture) async throws -> Void
  ) async throws {
    let rootfs = try await BusyboxRootfs.path()
    var template = Array("/tmp/hw-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil, "mkdtemp: errno \(errno)")
    let directory = String(
      decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let fixture = HawseFixture(directory: directory, rootfs: rootfs, shim: shim)
    do {
      try await body(fixture)
    } catch {
      Issue.record(error, sourceLocation: sourceLocation)
    }
    await fixture.tearDown(sourceLocation)
  }

  // MARK: - Running hawse

  /// Beside the test executable, where the package manager puts it.
  static let executable = HostFiles.product("hawse")

  /// Names an id that no command line mentions, so that its socket is looked for, too.
  func note(_ id: String) { ids.update { $0.insert(id) } }

  /// `hawse` with the fixture's directories and namespace behind its two words.
  func command(_ arguments: [String], environment: [String] = []) -> Command {
    for argument in arguments where (try? Identifier.validate(argument, as: .id)) != nil {
      note(argument)
    }
    var own = ["--state", state, "--root", root, "--namespace", namespace]
    if shim == .hawsepipe, arguments.starts(with: ["sandbox", "run"]) {
      own += ["--runtime", shim.path]
    }
    return Command(
      Self.executable, arguments: arguments.prefix(2) + own + arguments.dropFirst(2),
      environment: [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HAWSE_TEST=\(directory)",
      ] + environment)
  }

  /// Runs `hawse` to its end.
  ///
  /// - Parameter arguments: the two words of the command, then the rest.
  func hawse(
    _ arguments: String..., input: [UInt8] = [], environment: [String] = [],
    timeout: Duration = .seconds(60)
  ) async throws -> HawseResult {
    try await run(arguments, input: input, environment: environment, timeout: timeout)
  }

  func run(
    _ arguments: [String], input: [UInt8] = [], environment: [String] = [],
    timeout: Duration = .seconds(60)
  ) async throws -> HawseResult {
    let output = try await command(arguments, environment: environment)
      .run(input: input, outputLimit: 64 << 20, timeout: timeout)
    return HawseResult(
      status: output.status, out: String(decoding: output.standardOutput, as: UTF8.self),
      err: String(decoding: output.standardError, as: UTF8.self))
  }

  /// Runs a command of `hawse` that knows no state, to its end.
  func bare(_ arguments: [String]) async throws -> HawseResult {
    var command = command([])
    command.arguments = arguments
    let output = try await command.run(outputLimit: 1 << 20, timeout: .seconds(60))
    return HawseResult(
      status: output.status, out: String(decoding: output.standardOutput, as: UTF8.self),
      err: String(decoding: output.standardError, as: UTF8.self))
  }

  /// Starts `hawse` and leaves it to run. It is killed at the test's end.
  func start(
    _ arguments: String..., input: Int32? = nil, environment: [String] = []
  ) throws -> HawseProcess {
    try start(arguments, input: input, environment: environment)
  }

  func start(
    _ arguments: [String], input: Int32? = nil, environment: [String] = []
  ) throws -> HawseProcess {
    try start(command(arguments, environment: environment), input: input)
  }

  func start(_ command: Command, input: Int32? = nil) throws -> HawseProcess {
    let process = try HawseProcess(
      command,
      files: "\(directory)/hawse-\(processes.value.count)-\(UInt32.random(in: 0 ..< .max))",
      input: input)
    processes.update { $0.append(process) }
    return process
  }

  /// Starts a sandbox, and requires that it starts.
  func sandbox(_ id: String, sourceLocation: SourceLocation = #_sourceLocation) async throws {
    let result = try await hawse("sandbox", "run", "--rootfs", rootfs, id)
    try #require(result.code == 0, "\(result)", sourceLocation: sourceLocation)
  }

  /// Starts a task that only sleeps, attached to a sandbox.
  func sleeper(
    _ id: String, in sandbox: String, sourceLocation: SourceLocation = #_sourceLocation
  ) async throws {
    let result = try await hawse(
      "task", "run", "--sandbox", sandbox, "--rootfs", rootfs, "--id", id, "--detach", "--",
      "sleep", "3600")
    try #require(result.code == 0, "\(result)", sourceLocation: sourceLocation)
  }

  func tasks() async throws -> [ListedTask] { try await list([ListedTask].self, "task") }
  func sandboxes() async throws -> [ListedSandbox] {
    try await list([ListedSandbox].self, "sandbox")
  }

  private func list<Listed: Decodable>(_ type: Listed.Type, _ what: String) async throws -> Listed {
    let result = try await hawse(what, "ls", "--json")
    try #require(result.code == 0, "\(result)")
    return try JSONDecoder().decode(type, from: Data(result.out.utf8))
  }

  // MARK: - Looking at what there is

  /// A manager in this process on the fixture's state, as `hawse` has one.
  func manager(
    limits: ShimManager.Limits = .init(),
    onStep: @escaping @Sendable (ManagerStep) -> Void = { _ in }
  ) throws -> ShimManager {
    try ShimManager(
      .init(
        directory: stateDirectory, registry: .standard,
        environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HAWSE_TEST": directory],
        limits: limits, onStep: onStep))
  }

  func bundle(_ id: String) -> String { stateDirectory.bundlePath(namespace: namespace, id: id) }

  /// The sockets that shims of this fixture's ids would listen on.
  var shimSockets: [String] {
    ids.value.flatMap { id in
      [false, true].map { debug in
        String(
          SocketName.address(
            daemonAddress: "\(state)/hawsepipe.sock", namespace: namespace, id: id, debug: debug
          ).dropFirst("unix://".count))
      }
    }
  }

  /// The shims that serve this fixture, by their command lines.
  var shims: [Int32] {
    let name = Array(shim.rawValue.utf8)
    return HostFiles.pids.filter { pid in
      let words = HostFiles.bytes("/proc/\(pid)/cmdline").split(separator: 0)
      guard let program = words.first, program.suffix(name.count) == name else {
        return false
      }
      // The short-lived `start` and `delete` of the same binary have these words, too.
      return words.contains { Array($0) == Array("\(state)/hawsepipe.sock".utf8) }
        && !words.contains { ["start", "delete"].contains(String(decoding: $0, as: UTF8.self)) }
    }
  }

  /// The processes in the cgroup of a task.
  func processes(of id: String) -> [Int32] {
    HostFiles.pids.filter { pid in
      HostFiles.lines("/proc/\(pid)/cgroup").contains {
        $0.hasSuffix("/hawsepipe--\(namespace)--\(id)")
      } && ProcessStatus(pid: pid)?.isDead == false
    }
  }

  // MARK: - Tearing down

  private func tearDown(_ sourceLocation: SourceLocation) async {
    for process in processes.value {
      process.signal(SIGKILL)
      // Only that it is gone matters here.
      _ = try? await within(.seconds(30), "end") { try await process.child.wait() }
    }
    do {
      try await removeAll()
    } catch {
      Issue.record(error, sourceLocation: sourceLocation)
    }
    var left = Leftovers(of: self)
    // The kernel takes its time with what was killed.
    try? await eventually("nothing is left", within: .seconds(10)) {
      left = Leftovers(of: self)
      return left.isEmpty
    }
    #expect(left.isEmpty, "\(left)", sourceLocation: sourceLocation)
    left.destroy()
    _ = try? await Command("/bin/rm", arguments: ["-rf", "--one-file-system", directory])
      .run(timeout: .seconds(60))
  }

  private func removeAll() async throws {
    guard HostFiles.exists(state) else { return }
    for sandbox in try await sandboxes() {
      let result = try await hawse("sandbox", "rm", "--force", sandbox.sandbox.id)
      #expect(result.code == 0, "\(result)")
    }
    for task in try await tasks() {
      let result = try await hawse("task", "rm", "--force", task.id)
      #expect(result.code == 0, "\(result)")
    }
  }
}
