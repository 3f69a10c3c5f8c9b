/// How much the streams of a connection may hold of what their tasks have not asked for.
///
/// ttrpc has no flow control: a peer sends as fast as the connection takes it.
public struct TTRPCStreamBudget: Sendable, Hashable {
  /// How many messages may wait in one stream.
  public var messages: Int
  /// How many bytes may wait in one stream. One message may always.
  public var bytes: Int
  /// How many bytes may wait in all streams of the connection, each message counted with 128 bytes
  /// more than it has.
  public var connectionBytes: Int
  /// How long a budget may be exceeded.
  public var grace: Duration

  public init(
    messages: Int = 64, bytes: Int = 4 << 20, connectionBytes: Int = 16 << 20,
    grace: Duration = .seconds(1)
  ) {
    self.messages = messages
    self.bytes = bytes
    self.connectionBytes = connectionBytes
    self.grace = grace
  }
}
