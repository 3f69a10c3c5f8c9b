/// What stands in front of every message on the wire (ttrpc PROTOCOL.md, "Message Frame"): ten
/// bytes, integers big-endian.
struct FrameHeader: Hashable, Sendable {
  /// The bytes of data behind the header.
  var length: UInt32
  var streamID: UInt32
  var type: FrameType
  var flags: UInt8

  static let size = 10
  /// The largest data length that a frame may have, inclusive.
  static let maximumLength = 4 << 20

  /// What Go's implementation says of a message above the limit; peers may look for it.
  static func oversizeText(_ length: Int) -> String {
    "message length \(length) exceed maximum message size of \(maximumLength)"
  }
}

/// The kind of a frame. Kinds that are not known are kept: receivers skip or refuse them by role.
struct FrameType: RawRepresentable, Hashable, Sendable {
  var rawValue: UInt8

  static let request = FrameType(rawValue: 1)
  static let response = FrameType(rawValue: 2)
  static let data = FrameType(rawValue: 3)
}
