/// Why something of the host side of shims failed: a bundle, a state directory, a start, an attach.
///
/// `message` says what failed and on what; `cause` why, where something lower down knows; `hint` what
/// to do about it. `description` is the paragraph that a person reads.
public struct ShimManagementError: Error, Sendable {
  /// What kind of failure it is. More kinds may come: a `switch` over them needs a default.
  public struct Code: Hashable, Sendable {
    private let name: String

    private init(_ name: String) { self.name = name }

    /// An id or a namespace breaks the rule for identifiers.
    public static let invalidIdentifier = Code("invalidIdentifier")
    /// The bundle to be created is already there. It was not touched.
    public static let bundleExists = Code("bundleExists")
    /// There is no bundle of that id in that namespace.
    public static let bundleNotFound = Code("bundleNotFound")
    /// The runtime specification (config.json), or something to be put into it, cannot be used.
    public static let invalidSpec = Code("invalidSpec")
    /// The root file system, or a mount below it, cannot be used.
    public static let invalidRootfs = Code("invalidRootfs")
    /// The state directory is not one that may be trusted or used.
    public static let stateDirectory = Code("stateDirectory")
    /// A directory that must be written to cannot be.
    public static let notWritable = Code("notWritable")
    /// No binary for the runtime was found, or the one found may not be run.
    public static let runtimeNotFound = Code("runtimeNotFound")
    /// The shim's binary ran and did not give a shim.
    public static let startFailed = Code("startFailed")
    /// The shim's binary refused what it was told on standard input: it wants bootstrap params.
    public static let dialectRefused = Code("dialectRefused")
    /// A task could not be attached to a sandbox that runs.
    public static let attachFailed = Code("attachFailed")
    /// There is no such sandbox.
    public static let sandboxNotFound = Code("sandboxNotFound")
    /// There is no such task.
    public static let taskNotFound = Code("taskNotFound")
    /// The time for the operation ran out.
    public static let timedOut = Code("timedOut")
    /// The shim answered a call with an error, which is the cause.
    public static let callFailed = Code("callFailed")
    /// The shim ended.
    public static let shimDied = Code("shimDied")
    /// A mount in the bundle could not be removed. Nothing below it was touched.
    public static let unmountFailed = Code("unmountFailed")
    /// A file of a bundle is damaged. The message names it and the fault.
    public static let damagedState = Code("damagedState")
    /// Another process works on the same thing and did not finish in time.
    public static let busy = Code("busy")
    /// What is to be set in shims' environment cannot be.
    public static let invalidEnvironment = Code("invalidEnvironment")
    /// The calling task was cancelled.
    public static let cancelled = Code("cancelled")
    /// A file of a bundle or of the state directory could not be read, written or removed.
    public static let fileSystem = Code("fileSystem")
    /// Something that cannot happen did.
    public static let `internal` = Code("internal")
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

extension ShimManagementError: CustomStringConvertible {
  /// One paragraph: what failed, on what, why, what to do.
  public var description: String {
    var text = message
    if let cause { text += ": \(cause)" }
    guard let hint else { return text }
    return (text.hasSuffix(".") ? text : text + ".") + " " + hint
  }
}

extension ShimManagementError.Code: CustomStringConvertible {
  public var description: String { name }
}
