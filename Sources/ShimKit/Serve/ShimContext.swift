public import Logging
internal import Synchronization
public import TransportCore

/// What the serving process has and knows.
public struct ShimContext: Sendable {
  public let namespace: String
  /// The id that the process was started for. Others of its group may follow.
  public let id: String
  /// The bundle of that id.
  public let bundle: String
  public let debug: Bool
  /// Where the shim's own socket is.
  public let address: TransportAddress
  /// The daemon's gRPC address.
  public let daemonAddress: String
  /// Where the daemon takes events over ttrpc.
  public let eventsAddress: String
  public let environment: [String: String]
  public let logger: Logger
  /// Ends the process.
  public let shutdown: ShimShutdown
  let descriptions: StateDescriptions

  package init(
    namespace: String, id: String, bundle: String, debug: Bool, address: TransportAddress,
    daemonAddress: String, eventsAddress: String, environment: [String: String], logger: Logger,
    shutdown: ShimShutdown
  ) {
    self.init(
      namespace: namespace, id: id, bundle: bundle, debug: debug, address: address,
      daemonAddress: daemonAddress, eventsAddress: eventsAddress, environment: environment,
      logger: logger, shutdown: shutdown, descriptions: StateDescriptions())
  }

  init(
    namespace: String, id: String, bundle: String, debug: Bool, address: TransportAddress,
    daemonAddress: String, eventsAddress: String, environment: [String: String], logger: Logger,
    shutdown: ShimShutdown, descriptions: StateDescriptions
  ) {
    self.namespace = namespace
    self.id = id
    self.bundle = bundle
    self.debug = debug
    self.address = address
    self.daemonAddress = daemonAddress
    self.eventsAddress = eventsAddress
    self.environment = environment
    self.logger = logger
    self.shutdown = shutdown
    self.descriptions = descriptions
  }

  /// Has something described in the log when SIGUSR1 asks what the shim is at.
  public func describeState(_ describe: @escaping @Sendable () async -> String) {
    descriptions.add(describe)
  }
}

/// What is asked for its state when the shim is.
final class StateDescriptions: Sendable {
  private let all = Mutex<[@Sendable () async -> String]>([])

  func add(_ describe: @escaping @Sendable () async -> String) {
    all.withLock { $0.append(describe) }
  }

  func log(to logger: Logger) async {
    let all = all.withLock { $0 }
    if all.isEmpty { logger.info("This shim describes no state") }
    for describe in all {
      let text = await describe()
      logger.info("state: \(text)")
    }
  }
}
