public import SwiftProtobuf

/// A sandbox as containerd's store knows it: what it is to be, not what it does at the moment.
public struct SandboxRecord: Hashable, Sendable {
  public var id: String
  /// What runs it, such as `io.containerd.hawsepipe.v1`.
  public var runtime: String
  public var runtimeOptions: Google_Protobuf_Any?
  public var spec: Google_Protobuf_Any?
  public var labels: [String: String]
  public var createdAt: Google_Protobuf_Timestamp?
  public var updatedAt: Google_Protobuf_Timestamp?
  /// What clients keep there. CRI keeps the pod's configuration.
  public var extensions: [String: Google_Protobuf_Any]
  /// The name of the controller that has it.
  public var sandboxer: String

  public init(
    id: String, runtime: String = "", runtimeOptions: Google_Protobuf_Any? = nil,
    spec: Google_Protobuf_Any? = nil, labels: [String: String] = [:],
    createdAt: Google_Protobuf_Timestamp? = nil, updatedAt: Google_Protobuf_Timestamp? = nil,
    extensions: [String: Google_Protobuf_Any] = [:], sandboxer: String = ""
  ) {
    self.id = id
    self.runtime = runtime
    self.runtimeOptions = runtimeOptions
    self.spec = spec
    self.labels = labels
    self.createdAt = createdAt
    self.updatedAt = updatedAt
    self.extensions = extensions
    self.sandboxer = sandboxer
  }
}
