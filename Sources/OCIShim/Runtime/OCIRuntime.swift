internal import CLinux
internal import Glibc
internal import JSON
internal import LinuxSystem
internal import ProcessSupervision
internal import ShimProtocol
internal import Synchronization

/// An OCI runtime's program (runc, crun), used for the containers of one namespace.
///
/// Every call has a log file of its own, so that no call reports another one's error; a limit of
/// time, behind which the runtime is killed and named; and an environment without `NOTIFY_SOCKET`,
/// which would have the runtime speak to the daemon's service manager.
struct OCIRuntime: Sendable {
  var options: RuntimeOptions
  let namespace: String
  /// Where the log files of calls go: the bundle.
  let directory: String

  private static let calls = Atomic<UInt64>(0)

  init(options: RuntimeOptions, namespace: String, directory: String) {
    self.options = options
    self.namespace = namespace
    self.directory = directory
  }

  /// The container's or exec's own descriptors, which the runtime inherits as its standard ones.
  typealias StandardDescriptors = [Int32: Int32]

  /// Runs one call to its end.
  ///
  /// - Parameters:
  ///   - descriptors: for calls that start a process without a terminal; then the runtime's own
  ///     output goes there and is not kept. They stay the caller's.
  ///   - spawned: called once the runtime has been started, and has the descriptors.
  /// - Returns: what it printed.
  /// - Throws: `runtimeNotFound`, `runtimeHung`, `processGone`, `runtimeFailed` with its own words.
  @discardableResult
  func run(
    _ operation: RuntimeOperation, input: [UInt8] = [],
    descriptors: StandardDescriptors? = nil, spawned: @Sendable () -> Void = {}
  ) async throws(OCIShimError) -> [UInt8] {
    let log = logFile(operation)
    // It need not be there: a runtime that succeeds may write none.
    defer { unlink(log) }
    let command = try command(operation, log: log)
    let ended: Ending
    do throws(ProcessError) {
      ended =
        if let descriptors {
          try await runDetached(command, descriptors, spawned)
        } else {
          try await runCaptured(command, input)
        }
    } catch {
      throw failure(operation, error, log: log)
    }
    guard !ended.status.isSuccess else { return ended.output }
    throw failure(operation, ended, log: log)
  }

  /// Daemons ask for the processes of what they restore, and take no answer within 5 s for a dead
  /// shim.
  private static let processesLimit = Duration.seconds(4)

  /// The processes of a container.
  func processes(of id: String) async throws(OCIShimError) -> [Int32] {
    var prompt = self
    prompt.options.commandTimeout = min(options.commandTimeout, Self.processesLimit)
    let printed = try await prompt.run(.processes(id: id))
    let value: JSONValue
    do throws(JSONFault) {
      value = try JSONValue(parsing: printed)
    } catch {
      throw OCIShimError(
        code: .runtimeFailed, message: "\(options.binaryName) ps printed no JSON", cause: error)
    }
    // runc prints `null` for none.
    if value == .null { return [] }
    let pids = value.array?.compactMap { $0.integer.flatMap(Int32.init(exactly:)) }
    guard let pids, pids.count == value.array?.count else {
      throw OCIShimError(
        code: .runtimeFailed,
        message: "\(options.binaryName) ps printed something else than an array of numbers")
    }
    return pids
  }

  /// The command line of a call.
  func command(_ operation: RuntimeOperation, log: String) throws(OCIShimError) -> Command {
    var arguments: [String] = []
    switch operation {
    case .features, .version: break
    default:
      arguments = ["--root", "\(options.root)/\(namespace)", "--log", log, "--log-format", "json"]
      if options.systemdCgroup { arguments.append("--systemd-cgroup") }
      arguments += options.extraArguments
    }
    return Command(
      try program(), arguments: arguments + operation.arguments(options),
      environment: Self.environment(), grouping: .newGroup,
      // One that outlived this process would finish what nobody knows of. What it leaves half done
      // is for `delete` to remove; containers are not its children and do not have it.
      parentDeathSignal: SIGKILL)
  }

  private func logFile(_ operation: RuntimeOperation) -> String {
    let number = Self.calls.wrappingAdd(1, ordering: .relaxed).newValue
    return "\(directory)/log-\(operation.name)-\(getpid())-\(number).json"
  }

  // MARK: The program

  /// The program's path. A name without a slash is looked for in `PATH`.
  func program() throws(OCIShimError) -> String {
    let name = options.binaryName
    if name.utf8.contains(UInt8(ascii: "/")) { return name }
    let path = getenv("PATH").map { String(cString: $0) } ?? ""
    let directories = (path.isEmpty ? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin" : path)
      .split(separator: ":")
    for directory in directories where directory.hasPrefix("/") {
      let candidate = "\(directory)/\(name)"
      if access(candidate, X_OK) == 0 { return candidate }
    }
    throw notFound("it is in none of the directories of PATH")
  }

  private func notFound(_ why: String, _ cause: (any Error)? = nil) -> OCIShimError {
    OCIShimError(
      code: .runtimeNotFound,
      message: "the OCI runtime \"\(options.binaryName)\" cannot be run: \(why)",
      hint: "Install it, or name another one with the option BinaryName.", cause: cause)
  }

  static func environment() -> [String] {
    var entries: [String] = []
    guard var entry = clinux_environment() else { return [] }
    while let text = entry.pointee {
      let text = String(cString: text)
      if text.contains("="), !text.hasPrefix("NOTIFY_SOCKET=") { entries.append(text) }
      entry += 1
    }
    return entries
  }

  // MARK: The two ways to run it

  private struct Ending {
    var status: ExitStatus
    var output: [UInt8] = []
    /// What it printed to its error output.
    var words: [UInt8] = []
  }

  private func runCaptured(
    _ command: Command, _ input: [UInt8]
  ) async throws(ProcessError) -> Ending {
    let captured = try await command.run(input: input, timeout: options.commandTimeout)
    return Ending(
      status: captured.status, output: captured.standardOutput, words: captured.standardError)
  }

  private func runDetached(
    _ command: Command, _ descriptors: StandardDescriptors, _ spawned: @Sendable () -> Void
  ) async throws(ProcessError) -> Ending {
    var command = command
    command.descriptors = descriptors
    let child = try command.spawn()
    spawned()
    let timeout = options.commandTimeout
    let ended = try await child.wait(within: timeout)
    guard let ended else {
      // It is reaped when it ends, also if it hangs in the kernel for now.
      child.signalGroup(SIGKILL)
      throw ProcessError(.timedOut, "\(command) did not end within \(timeout) and was killed")
    }
    return Ending(status: ended)
  }

  // MARK: Errors

  private func failure(
    _ operation: RuntimeOperation, _ error: ProcessError, log: String
  ) -> OCIShimError {
    switch error.code {
    case .executableNotFound, .notExecutable:
      return notFound(error.code == .notExecutable ? "it may not be executed" : "it is not there")
    case .timedOut:
      var message =
        "\(options.binaryName) \(operation.name) did not end within \(options.commandTimeout) "
        + "and was killed"
      if let words = words(log) { message += "; its last error was: \(words)" }
      return OCIShimError(
        code: .runtimeHung, message: message,
        hint: "See what it waits for; the option CommandTimeout gives it longer.")
    default:
      return OCIShimError(
        code: .runtimeFailed, message: "\(operation.prefix): \(options.binaryName) did not run",
        cause: error)
    }
  }

  private func failure(
    _ operation: RuntimeOperation, _ ending: Ending, log: String
  ) -> OCIShimError {
    let printed = RuntimeLog.trim(String(decoding: ending.words.suffix(4096), as: UTF8.self))
    let exit = "\(options.binaryName) \(ending.status)"
    let text = words(log) ?? (printed.isEmpty ? exit : "\(exit): \(printed)")
    let isGone = Self.saysGone(text) || Self.saysGone(printed)
    return OCIShimError(
      code: isGone ? .processGone : .runtimeFailed, message: "\(operation.prefix): \(text)")
  }

  private func words(_ log: String) -> String? {
    guard let slash = log.utf8.lastIndex(of: UInt8(ascii: "/")) else { return nil }
    let bundle = BundleFiles(path: String(log[..<slash]))
    // No log is an answer, too: then there is what it printed.
    let bytes = try? bundle.read(
      String(log[log.utf8.index(after: slash)...]), limit: RuntimeLog.largest)
    return bytes.flatMap(RuntimeLog.lastError)
  }

  /// Whether the runtime means that there is nothing left to act on.
  static func saysGone(_ text: String) -> Bool {
    let text = text.lowercased()
    return [
      "process already finished", "container not running", "no such process", "does not exist",
      "process not found",
    ].contains { text.contains($0) }
  }
}

extension RuntimeOperation {
  /// How errors of this call begin, as containerd's users know them.
  fileprivate var prefix: String {
    switch self {
    case .delete: "failed to delete task"
    case .kill(_, _, true): "OCI runtime killall failed"
    default: "OCI runtime \(name) failed"
    }
  }
}
