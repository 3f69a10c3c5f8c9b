/// What a command that ran to its end left.
public struct CapturedOutput: Sendable {
  public var status: ExitStatus
  public var standardOutput: [UInt8]
  public var standardError: [UInt8]
  /// Whether a stream printed more than the limit; what was over it is gone.
  public var truncated: Bool
  /// From before the spawn to the end of the output.
  public var duration: Duration

  public init(
    status: ExitStatus, standardOutput: [UInt8], standardError: [UInt8], truncated: Bool,
    duration: Duration
  ) {
    self.status = status
    self.standardOutput = standardOutput
    self.standardError = standardError
    self.truncated = truncated
    self.duration = duration
  }
}
