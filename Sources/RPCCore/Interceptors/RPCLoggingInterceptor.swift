public import Logging
internal import TransportCore

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
        "code": "\(record.code)", "milliseconds": "\(Double(record.duration.nanoseconds) / 1e6)",
        "sent": "\(record.sent)", "received": "\(record.received)",
      ].merging(record.error.map { ["error": "\($0)"] } ?? [:]) { $1 })
  }
}
