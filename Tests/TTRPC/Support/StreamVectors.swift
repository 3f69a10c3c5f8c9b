/// Frames of streams as they are on the wire, each with a fact that it shows.
extension Vector {
  /// A bidirectional stream is opened, as Go's client does it.
  static let openGo = hex(
    """
    00000033 00000003 01 02
    0a2574747270632e696e746567726174696f6e2e73747265616d696e672e53747265616d696e6712
    0a4563686f53747265616d
    """)

  /// The same from Rust's client, and from ours.
  static let openRust = hex(
    """
    00000033 00000003 01 06
    0a2574747270632e696e746567726174696f6e2e73747265616d696e672e53747265616d696e6712
    0a4563686f53747265616d
    """)

  /// A message.
  static let data = hex("00000006 00000003 03 00 080112026869")
  /// An empty message: no bytes are one, unless the flags say otherwise.
  static let dataEmpty = hex("00000000 00000003 03 00")
  /// The end of one direction.
  static let end = hex("00000000 00000003 03 05")
  /// A last message and the end in one, which nobody sends and the protocol allows.
  static let dataAndEnd = hex("00000006 00000003 03 01 080112026869")

  /// A stream with one request is opened.
  static let openOneRequest = hex(
    """
    0000003c 00000005 01 01
    0a2574747270632e696e746567726174696f6e2e73747265616d696e672e53747265616d696e6712
    0c44697669646553747265616d1a05088803101e
    """)

  /// A stream with one response is opened, as Go's client does it.
  static let openOneResponseGo = hex(
    """
    00000032 00000007 01 02
    0a2574747270632e696e746567726174696f6e2e73747265616d696e672e53747265616d696e6712
    0953756d53747265616d
    """)

  /// The one response.
  static let oneResponse = hex("00000007 00000007 02 00 1205086410cb01")
  /// A stream ends with the handler's error: NotFound, "nope".
  static let streamError = hex("0000000a 00000003 02 00 0a08080512046e6f7065")
}
