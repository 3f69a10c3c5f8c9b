/// Why something could not be put into, or taken out of, a `google.protobuf.Any`.
public struct ContainerdAPIError: Error, Sendable {
  public enum Code: Sendable, Hashable {
    /// The Any holds something else than what was asked for.
    case unexpectedType
    /// The bytes are not a message of the type that the Any names.
    case damaged
    /// A message could not be encoded.
    case notEncodable
  }

  public var code: Code
  public var message: String
  public var cause: (any Error)?

  public init(code: Code, message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }
}

extension ContainerdAPIError: CustomStringConvertible {
  public var description: String {
    guard let cause else { return message }
    return "\(message): \(cause)"
  }
}
