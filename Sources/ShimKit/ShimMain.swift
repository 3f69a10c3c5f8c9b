internal import CLinux
internal import ContainerdAPI
internal import Glibc
internal import LinuxSystem
internal import Logging
internal import SwiftProtobuf

/// The program around a ``Shim``: reads how it was run, and does that.
public enum ShimMain {
  /// Runs the program to its end. It never returns.
  ///
  /// It belongs on the main thread, at the very beginning: it is where signals are handled, and where
  /// `start` does its work.
  public static func run(
    _ shim: some Shim, arguments: [String] = CommandLine.arguments,
    environment: [String: String]? = nil
  ) -> Never {
    // A daemon that goes away, a logger without a reader: an error of write(2), and no more.
    _ = clinux_signal_swallow(SIGPIPE)
    let invocation: ShimInvocation
    do {
      invocation = try ShimInvocation(
        arguments: arguments, environment: environment ?? processEnvironment())
    } catch {
      fail(shim.name, error)
    }
    switch invocation.action {
    case .version: printVersion(shim, invocation)
    case .info: answer(shim, silencesError: false) { try runInfo(shim) }
    case .start: start(shim, invocation)
    case .delete: answer(shim, silencesError: false) { try runDelete(shim, invocation) }
    case .serve: serve(shim, invocation)
    }
  }

  // MARK: start

  private static func start(_ shim: some Shim, _ invocation: ShimInvocation) -> Never {
    do {
      let output = try AnswerOutput.take(silencesError: true)
      do {
        let request = try ShimStartRequest(
          invocation, input: readStandardInput(), bundle: currentDirectory())
        try starter(shim, request).run { try output.answer($0) }
        exit(0)
      } catch {
        output.fail("\(shim.name): \(error)\n")
        exit(1)
      }
    } catch {
      fail(shim.name, error)
    }
  }

  private static func starter<Author: Shim>(
    _ shim: Author, _ request: ShimStartRequest
  ) throws(ShimKitError) -> ShimStarter<Author> {
    ShimStarter(
      shim: shim, configuration: shim.configuration, request: request,
      executable: try ownExecutable()
    ) { running, limit throws(ShimKitError) in
      try waiting { await running.ask(within: limit) }
    }
  }

  /// The file that this program was loaded from.
  private static func ownExecutable() throws(ShimKitError) -> String {
    do {
      return try LinuxSystem.ownExecutable()
    } catch {
      throw ShimKitError(
        code: .system, message: "the shim's own file cannot be found",
        hint: "/proc must be mounted.",
        cause: error)
    }
  }

  // MARK: delete, -info, -v

  /// Prints what `body` returns, and nothing else on standard output.
  private static func answer(
    _ shim: some Shim, silencesError: Bool, _ body: () throws -> [UInt8]
  ) -> Never {
    do {
      let output = try AnswerOutput.take(silencesError: silencesError)
      do {
        try output.answer(try body())
        exit(0)
      } catch {
        output.fail("\(shim.name): \(error)\n")
        exit(1)
      }
    } catch {
      fail(shim.name, error)
    }
  }

  private static func runDelete<Author: Shim>(
    _ shim: Author, _ invocation: ShimInvocation
  ) throws -> [UInt8] {
    // It is short and cleans up: nobody but the daemon's limit stops it.
    for signal in [SIGTERM, SIGINT] { _ = clinux_signal_swallow(signal) }
    let request = ShimDeleteRequest(
      namespace: invocation.namespace, id: invocation.id, bundle: try bundle(invocation),
      debug: invocation.debug, daemonAddress: invocation.daemonAddress,
      environment: invocation.environment)
    let deleter = ShimDeleter(shim: shim, configuration: shim.configuration, request: request)
    return try waiting { await Result { () async throws in try await deleter.run() } }.get()
  }

  private static func runInfo(_ shim: some Shim) throws -> [UInt8] {
    let input = try readStandardInput()
    guard input.count <= ShimStartRequest.maximumInputSize else {
      throw ShimKitError(code: .invalidRequest, message: "the options are too large")
    }
    let options = input.isEmpty ? nil : try Google_Protobuf_Any(serializedBytes: input)
    let info = try waiting { await Result { () async throws in try await shim.info(options) } }
      .get()
    var result = Containerd_Types_RuntimeInfo()
    result.name = shim.name
    result.version.version = shim.version.version
    result.version.revision = shim.version.revision
    if let options = info.options { result.options = options }
    if let features = info.features { result.features = features }
    result.annotations = info.annotations
    return try result.serializedBytes()
  }

  private static func printVersion(_ shim: some Shim, _ invocation: ShimInvocation) -> Never {
    var text = "\(invocation.program):\n  Version:  \(shim.version.version)\n"
    if !shim.version.revision.isEmpty { text += "  Revision: \(shim.version.revision)\n" }
    answer(shim, silencesError: false) { Array(text.utf8) }
  }

  // MARK: serve

  private static func serve(_ shim: some Shim, _ invocation: ShimInvocation) -> Never {
    let signals = [SIGTERM, SIGINT, SIGUSR1]
    let pipe = clinux_signals_to_pipe(signals, Int32(signals.count))
    guard pipe >= 0 else { fail(shim.name, SystemError("sigaction", errno: -pipe)) }
    let configuration = shim.configuration
    let bundle: String
    let logger: Logger
    do {
      bundle = try Self.bundle(invocation)
      logger = try configuration.logging.logger(invocation, bundle: bundle)
      try configuration.reaping.begin()
    } catch {
      fail(shim.name, error)
    }
    let server = ShimServer(
      shim: shim, configuration: configuration, invocation: invocation, bundle: bundle,
      logger: logger, shutdown: ShimShutdown(limit: configuration.shutdownLimit),
      descriptions: StateDescriptions())
    Task.detached {
      do {
        try await server.run()
        exit(0)
      } catch {
        logger.critical("The shim cannot serve", metadata: ["reason": "\(error)"])
        fail(shim.name, error)
      }
    }
    handleSignals(from: pipe, server.shutdown, server.descriptions, logger)
  }

  /// The main thread's work while the process serves.
  private static func handleSignals(
    from pipe: Int32, _ shutdown: ShimShutdown, _ descriptions: StateDescriptions, _ logger: Logger
  ) -> Never {
    while true {
      var byte: UInt8 = 0
      let count = retryingInterrupts { read(pipe, &byte, 1) }
      // The writing end is this process's own: there is no end and no error but a bad pipe.
      precondition(count == 1, "the pipe of signals: \(errnoText(errno))")
      switch Int32(byte) {
      case SIGUSR1: Task { await descriptions.log(to: logger) }
      case SIGINT: shutdown.begin("SIGINT")
      default: shutdown.begin("SIGTERM")
      }
    }
  }

  // MARK: The process

  private static func bundle(_ invocation: ShimInvocation) throws(ShimKitError) -> String {
    guard !invocation.bundle.isEmpty else { return try currentDirectory() }
    guard invocation.bundle.hasPrefix("/") else {
      throw ShimKitError(
        code: .invalidArguments, message: "-bundle must be an absolute path, and is not")
    }
    return invocation.bundle
  }

  private static func currentDirectory() throws(ShimKitError) -> String {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    guard getcwd(&buffer, buffer.count) != nil else {
      throw ShimKitError(
        code: .system, message: "the bundle, in which the shim runs, cannot be named",
        cause: SystemError.last("getcwd"))
    }
    return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private static func processEnvironment() -> [String: String] {
    var result: [String: String] = [:]
    var entry = clinux_environment()
    while let text = entry?.pointee {
      let parts = String(cString: text).split(
        separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if parts.count == 2 { result[String(parts[0])] = String(parts[1]) }
      entry = entry?.advanced(by: 1)
    }
    return result
  }

  private static func fail(_ name: String, _ error: any Error) -> Never {
    let text = Array("\(name): \(error)\n".utf8)
    // Nobody is left to be told.
    _ = text.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    exit(1)
  }
}

extension Result where Failure == any Error {
  fileprivate init(_ body: () async throws -> Success) async {
    do {
      self = .success(try await body())
    } catch {
      self = .failure(error)
    }
  }
}
