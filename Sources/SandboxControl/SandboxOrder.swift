public import ContainerdAPI
public import SwiftProtobuf

/// What a sandbox is to be: what its client said when it had it created.
public struct SandboxOrder: Hashable, Sendable {
  public let name: SandboxName
  /// As it came.
  public let request: Containerd_Services_Sandbox_V1_ControllerCreateRequest

  public init(
    name: SandboxName, request: Containerd_Services_Sandbox_V1_ControllerCreateRequest
  ) {
    self.name = name
    self.request = request
  }

  /// The runtime's name, such as `io.containerd.hawsepipe.v1`; empty when the client gave none.
  public var runtime: String { request.sandbox.runtime.name }

  /// The runtime's own options, for a shim's start.
  public var runtimeOptions: Google_Protobuf_Any? {
    request.sandbox.runtime.hasOptions ? request.sandbox.runtime.options : nil
  }
}

/// What a sandbox is since it was started.
public struct SandboxInstance: Hashable, Sendable {
  /// Of a process whose namespaces are the sandbox's; 0 when there is none on this host.
  public var pid: UInt32
  public var createdAt: Google_Protobuf_Timestamp
  /// Where its task API is, in the form that containerd divides at the first plus sign:
  /// `ttrpc+unix:///run/a.sock`.
  public var address: String
  /// Of the task API.
  public var version: UInt32
  public var labels: [String: String]
  public var spec: Google_Protobuf_Any?

  public init(
    pid: UInt32, createdAt: Google_Protobuf_Timestamp, address: String, version: UInt32,
    labels: [String: String] = [:], spec: Google_Protobuf_Any? = nil
  ) {
    self.pid = pid
    self.createdAt = createdAt
    self.address = address
    self.version = version
    self.labels = labels
    self.spec = spec
  }
}
