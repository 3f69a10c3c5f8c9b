/// The flags of a frame (ttrpc PROTOCOL.md, "Flags"). They are named from the receiver's side.
struct FrameFlags: OptionSet, Hashable, Sendable {
  let rawValue: UInt8

  /// The sender will send nothing more on the stream.
  static let remoteClosed = FrameFlags(rawValue: 0x01)
  /// The sender will send data behind this request.
  static let remoteOpen = FrameFlags(rawValue: 0x02)
  /// The frame carries no message; without it a frame of no bytes is an empty message.
  static let noData = FrameFlags(rawValue: 0x04)

  /// The end of one direction of a stream.
  static let end: FrameFlags = [.remoteClosed, .noData]
}
