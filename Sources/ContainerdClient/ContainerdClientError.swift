/// Why something of this module's own failed. What a shim answers is an `RPCError` instead.
public struct ContainerdClientError: Error, Sendable {
  public enum Code: Hashable, Sendable {
    /// There is no such version of the task API.
    case unsupportedVersion
    /// What is at a stream's path is not a fifo.
    case notAFifo
    /// A stream's fifo or its directory could not be made, opened or removed.
    case streamUnusable
    /// A stream's bytes could not be read or written.
    case copyFailed
    /// The descriptor is not a terminal, or the terminal refused.
    case terminalUnusable
  }

  public var code: Code
  public var message: String
  public var cause: (any Error)?

  public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }
}

extension ContainerdClientError: CustomStringConvertible {
  public var description: String {
    guard let cause else { return message }
    return "\(message): \(cause)"
  }
}
