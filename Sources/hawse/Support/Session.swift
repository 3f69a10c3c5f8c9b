import Foundation
import Glibc
import Logging
import ShimManagement
import SwiftProtobuf
import TransportCore

/// What a command works with: the manager on its state directory, and the receiver of shims' events
/// beside it for as long as the command runs.
struct Session {
  let manager: ShimManager
  let options: GlobalOptions
  let logger: Logger

  var directory: StateDirectory { manager.configuration.directory }

  /// Opens the state directory, runs the body, and waits for what it set off to be cleaned up.
  static func run<Result: Sendable>(
    _ options: GlobalOptions, _ body: @escaping @Sendable (Session) async throws -> Result
  ) async throws -> Result {
    let logger = Self.logger(debug: options.debug)
    let directory = StateDirectory(state: absolute(options.state), root: absolute(options.root))
    var configuration = ShimManager.Configuration(
      directory: directory, registry: try options.tls.registry(),
      environment: ProcessInfo.processInfo.environment,
      publishBinary: try ownPath(), debug: options.debug,
      limits: options.limits, logger: logger)
    configuration.onStep = { step in
      logger.debug("step: \(step.rawValue)")
      StopPoint.reached(step)
    }
    let manager = try ShimManager(configuration)
    let events = EventsReceiver(directory: directory, logger: logger)
    try events.prepare()
    let session = Session(manager: manager, options: options, logger: logger)

    let receiver = Task {
      await events.run { event in
        logger.debug(
          "event", metadata: ["topic": "\(event.topic)", "type": "\(event.event.typeURL)"])
      }
    }
    let work = try Signals.shared.taskToCancel(
      told: { Output.note("interrupted by signal \($0); cleaning up") }
    ) { try await body(session) }
    let outcome = await work.result
    await manager.settle()
    receiver.cancel()
    await receiver.value
    return try outcome.get()
  }

  private static func logger(debug: Bool) -> Logger {
    var logger = Logger(label: "hawse") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = debug ? .debug : .warning
    return logger
  }

  private static func ownPath() throws -> String {
    try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
  }

  private static func absolute(_ path: String) -> String {
    path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
  }
}
