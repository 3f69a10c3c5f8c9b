/// Why a piece of the test kit could not do its part. A shim that behaves wrongly is no such error: it
/// is what the test sees.
public struct ShimTestKitError: Error, Sendable, CustomStringConvertible {
  /// What kind of failure it is. More kinds may come: a `switch` over them needs a default.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    public let description: String

    private init(_ name: String) { description = name }

    /// A file, a directory or a socket of the kit's own could not be made, read or removed.
    public static let system = Code("system")
    /// The shim's program failed, or answered what no daemon would take.
    public static let shimFailed = Code("shimFailed")
    /// What was waited for did not come within the limit.
    public static let timedOut = Code("timedOut")
  }

  public var code: Code
  /// What failed, and on what: a clause without a full stop.
  public var message: String
  public var cause: (any Error)?

  public init(code: Code, message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  public var description: String { cause.map { "\(message): \($0)" } ?? message }
}
