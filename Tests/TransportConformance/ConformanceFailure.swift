/// What a transport did not keep.
public struct ConformanceFailure: Error, Sendable {
  /// The subject's name.
  public var subject: String
  /// The check's name.
  public var check: String
  /// What was expected, and what came instead.
  public var message: String
  public var cause: (any Error)?

  public init(subject: String, check: String, message: String, cause: (any Error)? = nil) {
    self.subject = subject
    self.check = check
    self.message = message
    self.cause = cause
  }
}

extension ConformanceFailure: CustomStringConvertible {
  public var description: String { "\(subject) fails \"\(check)\": \(message)" }
}

/// Why a check failed, before it is known which.
struct Broken: Error, CustomStringConvertible {
  var description: String

  init(_ description: String) { self.description = description }
}
