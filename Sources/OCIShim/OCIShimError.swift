/// Why something of the OCI shim: a runtime's command, a container, its output, its journal failed.
///
/// `message` says what failed and on what; `cause` why, where something lower down knows; `hint` what
/// to do about it. `description` is the paragraph that a person reads.
public struct OCIShimError: Error, Sendable {
  /// What kind of failure it is. More kinds may come: a `switch` over them needs a default.
  public struct Code: Hashable, Sendable {
    private let name: String

    private init(_ name: String) { self.name = name }

    /// The OCI runtime's program is not there, or may not be run.
    public static let runtimeNotFound = Code("runtimeNotFound")
    /// The OCI runtime ended with an error. The message has its own words.
    public static let runtimeFailed = Code("runtimeFailed")
    /// The OCI runtime did not end in time and was killed.
    public static let runtimeHung = Code("runtimeHung")
    /// The container or the process is not there any more.
    public static let processGone = Code("processGone")
    /// The options, or the process to run, make no sense.
    public static let invalidOptions = Code("invalidOptions")
    /// A file of the bundle is damaged. The message names it and the fault.
    public static let damagedState = Code("damagedState")
    /// The container's cgroup is not there any more.
    public static let cgroupGone = Code("cgroupGone")
    /// A stream's logger did not start, or did not say that it is ready.
    public static let loggerFailed = Code("loggerFailed")
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

extension OCIShimError: CustomStringConvertible {
  /// One paragraph: what failed, on what, why, what to do.
  public var description: String {
    var text = message
    if let cause { text += ": \(cause)" }
    guard let hint else { return text }
    return (text.hasSuffix(".") ? text : text + ".") + " " + hint
  }
}

extension OCIShimError.Code: CustomStringConvertible {
  public var description: String { name }
}
