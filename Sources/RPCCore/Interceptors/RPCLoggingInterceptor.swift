public import Logging

/// Logs each call's end: method, code, duration in milliseconds, messages. Neither metadata nor
/// messages are logged: they may hold secrets.
public struct RPCLoggingInterceptor: RPCObservingInterceptor {
  private let logger: Logger
  private let level: Logger.Level
  private let failureLevel: Logger.Level

  public init(
    _ logger: Logger, level: Logger.Level = .debug, failureLevel: Logger.Level = .notice
  ) {
    self.logger = logger
    self.level = level
    self.failureLevel = failureLevel
  }

  public func ended(_ record: RPCCallRecord) {
    let level = record.error == nil ? level : failureLevel
    logger.log(
      level: level, "call ended",
      metadata: [
        "side": "\(record.side.rawValue)", "method": "\(record.method.path)",
        "code": "\(record.code)", "milliseconds": "\(record.duration.inMilliseconds)",
        "sent": "\(record.sent)", "received": "\(record.received)",
      ].merging(record.error.map { ["error": "\($0)"] } ?? [:]) { $1 })
  }
}

extension Duration {
  fileprivate var inMilliseconds: Double {
    let (seconds, attoseconds) = components
    return Double(seconds) * 1_000 + Double(attoseconds / 1_000_000_000_000) / 1_000
  }
}
