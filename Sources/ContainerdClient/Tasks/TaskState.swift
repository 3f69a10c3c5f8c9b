public import SwiftProtobuf

/// Where a process is in its life. Numbers that are not known here are kept.
public struct TaskStatus: RawRepresentable, Hashable, Sendable {
  public let rawValue: Int

  public init(rawValue: Int) { self.rawValue = rawValue }

  public static let unknown = TaskStatus(rawValue: 0)
  public static let created = TaskStatus(rawValue: 1)
  public static let running = TaskStatus(rawValue: 2)
  public static let stopped = TaskStatus(rawValue: 3)
  public static let paused = TaskStatus(rawValue: 4)
  public static let pausing = TaskStatus(rawValue: 5)
}

extension TaskStatus: CustomStringConvertible {
  private static let names = ["unknown", "created", "running", "stopped", "paused", "pausing"]

  public var description: String {
    Self.names.indices.contains(rawValue) ? Self.names[rawValue] : "status \(rawValue)"
  }
}

/// What a shim says of a task's first process, or of one that was added.
public struct TaskState: Hashable, Sendable {
  public var id: String
  /// `nil` for the first process.
  public var execID: String?
  public var bundle: String
  /// 0 before it was created.
  public var pid: UInt32
  public var status: TaskStatus
  public var streams: StreamLocations
  /// Meaningful once it is `stopped`: the exit code, or 128 and the signal's number.
  public var exitStatus: UInt32
  /// `nil` while it runs.
  public var exitedAt: Google_Protobuf_Timestamp?

  public init(
    id: String, execID: String? = nil, bundle: String, pid: UInt32, status: TaskStatus,
    streams: StreamLocations = .init(), exitStatus: UInt32 = 0,
    exitedAt: Google_Protobuf_Timestamp? = nil
  ) {
    self.id = id
    self.execID = execID
    self.bundle = bundle
    self.pid = pid
    self.status = status
    self.streams = streams
    self.exitStatus = exitStatus
    self.exitedAt = exitedAt
  }
}

/// How a process ended.
public struct TaskExit: Hashable, Sendable {
  /// Known from `delete`, not from `wait`.
  public var pid: UInt32?
  /// The exit code, or 128 and the signal's number.
  public var status: UInt32
  public var exitedAt: Google_Protobuf_Timestamp?

  public init(pid: UInt32? = nil, status: UInt32, exitedAt: Google_Protobuf_Timestamp? = nil) {
    self.pid = pid
    self.status = status
    self.exitedAt = exitedAt
  }
}

/// One process of a task.
public struct TaskProcess: Hashable, Sendable {
  public var pid: UInt32
  /// What the runtime knows of it, such as `containerd.runc.v1.ProcessDetails`.
  public var info: Google_Protobuf_Any?

  public init(pid: UInt32, info: Google_Protobuf_Any? = nil) {
    self.pid = pid
    self.info = info
  }
}

/// What a shim says of itself.
public struct ShimConnection: Hashable, Sendable {
  public var shimPID: UInt32
  /// 0 for a task that the shim does not know.
  public var taskPID: UInt32
  /// Empty for most shims.
  public var version: String

  public init(shimPID: UInt32, taskPID: UInt32, version: String = "") {
    self.shimPID = shimPID
    self.taskPID = taskPID
    self.version = version
  }
}
