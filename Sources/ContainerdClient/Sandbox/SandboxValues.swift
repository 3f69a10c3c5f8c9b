public import SwiftProtobuf

/// What a new sandbox is made of.
public struct SandboxCreation: Sendable {
  public var id: String
  /// The absolute path of the sandbox's bundle.
  public var bundle: String
  public var rootfs: [RootMount]
  /// The runtime's own; CRI sends the pod's configuration.
  public var options: Google_Protobuf_Any?
  /// The network namespace that it is to use; `nil` for the host's.
  public var netnsPath: String?
  /// Read by shims of containerd 2.3 and newer.
  public var annotations: [String: String]

  public init(
    id: String, bundle: String, rootfs: [RootMount] = [], options: Google_Protobuf_Any? = nil,
    netnsPath: String? = nil, annotations: [String: String] = [:]
  ) {
    self.id = id
    self.bundle = bundle
    self.rootfs = rootfs
    self.options = options
    self.netnsPath = netnsPath
    self.annotations = annotations
  }
}

/// A sandbox that was started.
public struct SandboxStart: Hashable, Sendable {
  /// Of the process that holds the sandbox, as its own host counts; 0 if it does not say.
  public var pid: UInt32
  public var createdAt: Google_Protobuf_Timestamp?
  /// What the shim made of the specification, for containerd 2.3 and newer.
  public var spec: Google_Protobuf_Any?

  public init(
    pid: UInt32, createdAt: Google_Protobuf_Timestamp? = nil, spec: Google_Protobuf_Any? = nil
  ) {
    self.pid = pid
    self.createdAt = createdAt
    self.spec = spec
  }
}

/// What programs run in a sandbox, in Go's words: `linux`, `amd64`.
public struct SandboxPlatform: Hashable, Sendable {
  public var os: String
  public var architecture: String
  public var variant: String
  public var osVersion: String
  public var osFeatures: [String]

  public init(
    os: String, architecture: String, variant: String = "", osVersion: String = "",
    osFeatures: [String] = []
  ) {
    self.os = os
    self.architecture = architecture
    self.variant = variant
    self.osVersion = osVersion
    self.osFeatures = osFeatures
  }
}

/// How a sandbox ended.
public struct SandboxExit: Hashable, Sendable {
  public var status: UInt32
  public var exitedAt: Google_Protobuf_Timestamp?

  public init(status: UInt32, exitedAt: Google_Protobuf_Timestamp? = nil) {
    self.status = status
    self.exitedAt = exitedAt
  }
}

/// A sandbox's state: free text, of which CRI understands two and takes any other for unknown.
public struct SandboxState: RawRepresentable, Hashable, Sendable {
  public let rawValue: String

  public init(rawValue: String) { self.rawValue = rawValue }

  public static let ready = SandboxState(rawValue: "SANDBOX_READY")
  public static let notReady = SandboxState(rawValue: "SANDBOX_NOTREADY")

  public var isReady: Bool { self == .ready }
  public var isNotReady: Bool { self == .notReady }
  /// Neither of the two that CRI understands.
  public var isUnknown: Bool { !isReady && !isNotReady }
}

extension SandboxState: CustomStringConvertible {
  public var description: String { rawValue.isEmpty ? "unknown" : rawValue }
}

/// What a shim says of its sandbox.
public struct SandboxStatus: Hashable, Sendable {
  public var id: String
  public var pid: UInt32
  public var state: SandboxState
  /// The shim's own; asked for by `verbose`.
  public var info: [String: String]
  public var createdAt: Google_Protobuf_Timestamp?
  /// `nil` while it runs.
  public var exitedAt: Google_Protobuf_Timestamp?
  public var extra: Google_Protobuf_Any?

  public var isReady: Bool { state.isReady }
  public var isNotReady: Bool { state.isNotReady }

  public init(
    id: String, pid: UInt32 = 0, state: SandboxState, info: [String: String] = [:],
    createdAt: Google_Protobuf_Timestamp? = nil, exitedAt: Google_Protobuf_Timestamp? = nil,
    extra: Google_Protobuf_Any? = nil
  ) {
    self.id = id
    self.pid = pid
    self.state = state
    self.info = info
    self.createdAt = createdAt
    self.exitedAt = exitedAt
    self.extra = extra
  }
}

/// What a sandbox used at one moment.
public struct SandboxMetrics: Hashable, Sendable {
  public var id: String
  public var timestamp: Google_Protobuf_Timestamp?
  /// Its type tells what is in it, such as the metrics of a version of cgroups.
  public var data: Google_Protobuf_Any?

  public init(
    id: String, timestamp: Google_Protobuf_Timestamp? = nil, data: Google_Protobuf_Any? = nil
  ) {
    self.id = id
    self.timestamp = timestamp
    self.data = data
  }
}
