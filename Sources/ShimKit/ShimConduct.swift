internal import Glibc
public import Logging
internal import ProcessSupervision

/// Where a serving process logs.
public enum ShimLogging: Sendable {
  /// To the fifo `log` in its bundle, which the daemon reads, with whatever is printed on standard
  /// error: what is of level info and above, and of debug where the daemon asks for it. Where nobody
  /// has made the fifo, as when a shim is run by hand with `-socket`, to standard error.
  case fifo
  /// To a logger of the author's. Standard error is left as it is.
  case custom(@Sendable (ShimInvocation, _ bundle: String) throws -> Logger)
  /// Nowhere.
  case off

  func logger(_ invocation: ShimInvocation, bundle: String) throws -> Logger {
    switch self {
    case .fifo: return try Self.fifo("\(bundle)/log", invocation)
    case .custom(let make): return try make(invocation, bundle)
    case .off: return Logger(label: invocation.id) { _ in SwiftLogNoOpLogHandler() }
    }
  }

  private static func fifo(
    _ path: String, _ invocation: ShimInvocation
  ) throws(ShimKitError) -> Logger {
    let level: Logger.Level = invocation.debug ? .debug : .info
    guard access(path, F_OK) == 0 || errno != ENOENT else {
      var logger = Logger(label: invocation.id) { StreamLogHandler.standardError(label: $0) }
      logger.logLevel = level
      return logger
    }
    let fifo = try LogFifo(path: path)
    try fifo.takeStandardError()
    return Logger(label: invocation.id) { _ in fifo.handler(level: level) }
  }
}

/// Which processes a serving process collects when they end. Whoever wants to hear of them asks
/// `Reaper.start()`, which gives the one that runs.
public enum ShimReaping: Sendable, Hashable {
  /// Its children, and what they leave behind: it becomes a subreaper. What an OCI runtime starts is
  /// its own then.
  case orphans
  /// Its children alone. What they leave behind goes to the system's init.
  case children
  /// None. Only `Command`, or the author, waits for them.
  case off

  func begin() throws {
    switch self {
    case .orphans: _ = try Reaper.start()
    case .children: _ = try Reaper.start(subreaper: false)
    case .off: break
    }
  }
}
