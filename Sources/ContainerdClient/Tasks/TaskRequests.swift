public import SwiftProtobuf

/// One mount of a task's root file system.
public struct RootMount: Hashable, Sendable {
  /// The kind of file system, such as `overlay` or `bind`.
  public var type: String
  public var source: String
  /// Where, below the root; empty for the root itself.
  public var target: String
  /// As in fstab: flags such as `ro`, and options of the file system.
  public var options: [String]

  public init(type: String, source: String, target: String = "", options: [String] = []) {
    self.type = type
    self.source = source
    self.target = target
    self.options = options
  }
}

/// Where a process's standard streams are: paths of fifos, or URIs that the shim understands.
/// `nil`: the process has no such stream.
public struct StreamLocations: Hashable, Sendable {
  public var standardInput: String?
  public var standardOutput: String?
  public var standardError: String?
  /// The process gets a terminal; its output and its errors then both come by `standardOutput`.
  public var terminal: Bool

  public init(
    standardInput: String? = nil, standardOutput: String? = nil, standardError: String? = nil,
    terminal: Bool = false
  ) {
    self.standardInput = standardInput
    self.standardOutput = standardOutput
    self.standardError = standardError
    self.terminal = terminal
  }
}

/// What a new task is made of.
public struct TaskCreation: Sendable {
  public var id: String
  /// The absolute path of the directory with config.json.
  public var bundle: String
  /// What the shim mounts on the bundle's `rootfs`, in order. Empty: the file system is there.
  public var rootfs: [RootMount]
  public var streams: StreamLocations
  /// The runtime's own options, such as `containerd.runc.v1.Options`.
  public var options: Google_Protobuf_Any?
  /// Restore from the checkpoint in this directory.
  public var checkpoint: String?
  public var parentCheckpoint: String?

  public init(
    id: String, bundle: String, rootfs: [RootMount] = [], streams: StreamLocations = .init(),
    options: Google_Protobuf_Any? = nil, checkpoint: String? = nil, parentCheckpoint: String? = nil
  ) {
    self.id = id
    self.bundle = bundle
    self.rootfs = rootfs
    self.streams = streams
    self.options = options
    self.checkpoint = checkpoint
    self.parentCheckpoint = parentCheckpoint
  }
}

/// A further process in a task.
public struct TaskExec: Sendable {
  public var id: String
  public var execID: String
  public var streams: StreamLocations
  /// The OCI runtime specification's `process` object as JSON in an `Any`; runc's shim does not
  /// look at the type URL.
  public var spec: Google_Protobuf_Any

  public init(
    id: String, execID: String, streams: StreamLocations = .init(), spec: Google_Protobuf_Any
  ) {
    self.id = id
    self.execID = execID
    self.streams = streams
    self.spec = spec
  }
}
