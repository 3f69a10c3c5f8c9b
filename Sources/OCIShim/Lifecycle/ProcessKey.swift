/// One process of a task: the init, or an exec.
struct ProcessKey: Hashable, Sendable {
  var container: String
  /// Nil for the init.
  var exec: String?

  var isInit: Bool { exec == nil }
}

extension ProcessKey: CustomStringConvertible {
  var description: String {
    if let exec { "exec \(exec) of container \(container)" } else { "container \(container)" }
  }
}

/// A point of wall-clock time, as protobuf has it.
public struct WallTime: Hashable, Sendable {
  /// Since the epoch.
  public var seconds: Int64
  /// 0 to 999,999,999.
  public var nanoseconds: Int32

  public init(seconds: Int64, nanoseconds: Int32) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }
}

/// How a process of a task ended, and when.
public struct ProcessEnd: Hashable, Sendable {
  /// The exit code, or 128 and the signal's number.
  public var status: UInt32
  public var time: WallTime

  public init(status: UInt32, time: WallTime) {
    self.status = status
    self.time = time
  }
}
