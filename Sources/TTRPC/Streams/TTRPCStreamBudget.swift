internal import RPCCore

/// How much the streams of a connection may hold of what their tasks have not asked for.
///
/// ttrpc has no flow control: a peer sends as fast as the connection takes it. So a stream that is
/// read slowly slows its connection down, and one that is not read at all is given up, with
/// ``RPCCode/resourceExhausted``; the others go on.
public struct TTRPCStreamBudget: Sendable, Hashable {
  /// How many messages may wait in one stream. With more, it must be read: it is given up when
  /// nothing is taken from it for the ``grace``.
  public var messages: Int
  /// How many bytes may wait in one stream, to the same effect. One message may always. Each
  /// message counts 128 bytes more than it has.
  public var bytes: Int
  /// How many bytes may wait in all streams of the connection. With more the connection is not
  /// read. The stream that holds most is given up when no room is made for the ``grace``, or when
  /// half of this was not free for it and another call or stream waits to be read.
  public var connectionBytes: Int
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
