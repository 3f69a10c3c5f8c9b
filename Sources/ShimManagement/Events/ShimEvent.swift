public import SwiftProtobuf

/// An event that a shim published, or that the manager publishes in place of a shim that died.
public struct ShimEvent: Sendable {
  public var namespace: String
  /// Such as `/tasks/exit`.
  public var topic: String
  public var timestamp: Google_Protobuf_Timestamp
  /// A message of `containerd.events`, packed.
  public var event: Google_Protobuf_Any

  public init(
    namespace: String, topic: String, timestamp: Google_Protobuf_Timestamp,
    event: Google_Protobuf_Any
  ) {
    self.namespace = namespace
    self.topic = topic
    self.timestamp = timestamp
    self.event = event
  }
}
