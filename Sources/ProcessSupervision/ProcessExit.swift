/// The end of a process that nobody of this program waits for by itself.
public struct ProcessExit: Hashable, Sendable {
  public var pid: Int32
  public var status: ExitStatus
  /// When its status was collected, by the wall clock: since 1970-01-01T00:00:00Z.
  public var at: Duration

  public init(pid: Int32, status: ExitStatus, at: Duration) {
    self.pid = pid
    self.status = status
    self.at = at
  }
}
