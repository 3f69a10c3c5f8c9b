/// Why something of the shim author framework: a command line, a start, a listener, an event failed.
///
/// `message` says what failed and on what; `cause` why, where something lower down knows; `hint` what
/// to do about it. `description` is the paragraph that a person reads.
public struct ShimKitError: Error, Sendable {
  /// What kind of failure it is. More kinds may come: a `switch` over them needs a default.
  public struct Code: Hashable, Sendable {
    private let name: String

    private init(_ name: String) { self.name = name }

    /// The command line or the environment that the shim was run with cannot be used.
    public static let invalidArguments = Code("invalidArguments")
    /// What came on standard input cannot be used.
    public static let invalidRequest = Code("invalidRequest")
    /// Another program listens at the shim's address and is not a shim of this group.
    public static let addressInUse = Code("addressInUse")
    /// The serving process could not be started.
    public static let startFailed = Code("startFailed")
    /// A system call failed.
    public static let system = Code("system")
  }

  public var code: Code
  /// What failed, and on what: a clause without a full stop.
  public var message: String
  /// What to do about it: a whole sentence.
  public var hint: String?
  public var cause: (any Error)?

  public init(
    code: Code, message: String, hint: String? = nil, cause: (any Error)? = nil
  ) {
    self.code = code
    self.message = message
    self.hint = hint
    self.cause = cause
  }
}

extension ShimKitError: CustomStringConvertible {
  /// One paragraph: what failed, on what, why, what to do.
  public var description: String {
    var text = message
    if let cause { text += ": \(cause)" }
    guard let hint else { return text }
    return (text.hasSuffix(".") ? text : text + ".") + " " + hint
  }
}

extension ShimKitError.Code: CustomStringConvertible {
  public var description: String { name }
}
