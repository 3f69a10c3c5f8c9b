/// The end of a process that nobody of this program waits for by itself.
public struct ProcessExit: Hashable, Sendable {
  public var pid: Int32
  /// Clock ticks since boot: what tells it from an earlier or later process of its number. `nil`
  /// when it could not be read.
  public var startTime: UInt64?
  public var status: ExitStatus
  /// When its status was collected, by the wall clock: since 1970-01-01T00:00:00Z.
  public var at: Duration

  public init(pid: Int32, startTime: UInt64? = nil, status: ExitStatus, at: Duration) {
    self.pid = pid
    self.startTime = startTime
    self.status = status
    self.at = at
  }
}
