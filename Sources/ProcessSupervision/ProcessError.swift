internal import LinuxSystem

/// Why a process could not be started, watched or finished.
public struct ProcessError: Error, Sendable {
  public enum Code: Hashable, Sendable {
    /// The command itself makes no sense: a NUL in a string, an executable without a slash, a
    /// descriptor number out of range.
    case invalidCommand
    /// There is no file at the executable's path, or its interpreter or loader is missing.
    case executableNotFound
    /// The executable's file may not be executed, or is not in a format that this system runs.
    case notExecutable
    /// The working directory cannot be entered.
    case directoryUnusable
    /// A descriptor of the map is not open.
    case descriptorUnusable
    /// The system is short of processes, descriptors or memory.
    case resourcesExhausted
    /// The system refused for another reason; the cause tells.
    case systemFailure
    /// The deadline passed. The process was killed.
    case timedOut
    /// The calling task was cancelled.
    case cancelled
    /// The process ended, but somebody else collected its status: a `waitpid(-1)`, or SIGCHLD
    /// being ignored in this process.
    case statusLost
  }

  public var code: Code
  public var message: String
  public var cause: (any Error)?
  /// What the command had printed when it was killed; both are empty but for `timedOut` and
  /// `cancelled`.
  public var standardOutput: [UInt8] = []
  public var standardError: [UInt8] = []

  public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }
}

extension ProcessError {
  static func statusLost(_ pid: Int32, _ cause: SystemError) -> ProcessError {
    ProcessError(
      .statusLost,
      "Process \(pid) ended, but its status was collected by something else in this process",
      cause: cause)
  }
}

extension ProcessError: CustomStringConvertible {
  public var description: String {
    guard let cause else { return message }
    return "\(message): \(cause)"
  }
}
