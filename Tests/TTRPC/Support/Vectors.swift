/// Frames as they are on the wire, each with a fact that it shows.
///
/// They were made with an encoder that is not ours, and the bodies checked with `protoc --decode`.
enum Vector {
  /// A request with one second left and containerd's namespace in its metadata.
  static let requestWithTimeoutAndMetadata = hex(
    """
    00000054 00000001 01 00
    0a17636f6e7461696e6572642e7461736b2e76322e5461736b1207436f6e6e6563741a030a016120
    8094ebdc032a250a1a636f6e7461696e6572642d6e616d6573706163652d74747270631207646566
    61756c74
    """)

  /// A request with a payload and nothing else.
  static let request = hex(
    """
    00000027 00000001 01 00
    0a17636f6e7461696e6572642e7461736b2e76322e5461736b1207436f6e6e6563741a030a0161
    """)

  /// A request whose metadata has two values for one key.
  static let requestWithTwoValues = hex(
    """
    00000037 00000003 01 00
    0a17636f6e7461696e6572642e7461736b2e76322e5461736b1207436f6e6e6563741a030a01612a
    060a016b1201612a060a016b120162
    """)

  /// A request whose caller has given up: -1 ns is left.
  static let requestExpired = hex(
    """
    00000032 00000005 01 00
    0a17636f6e7461696e6572642e7461736b2e76322e5461736b1207436f6e6e6563741a030a016120
    ffffffffffffffffff01
    """)

  /// Success as Go writes it: no status.
  static let okGo = hex(
    """
    00000005 00000001 02 00
    12030a0161
    """)

  /// Success as Rust writes it: an empty status.
  static let okRust = hex(
    """
    00000007 00000001 02 00
    0a0012030a0161
    """)

  /// Success with an empty message, from Go: no data at all.
  static let okEmptyGo = hex(
    """
    00000000 00000001 02 00
    """)

  /// Success with an empty message, from Rust.
  static let okEmptyRust = hex(
    """
    00000002 00000001 02 00
    0a00
    """)

  /// The handler's own error: NotFound, "nope".
  static let notFound = hex(
    """
    0000000a 00000001 02 00
    0a08080512046e6f7065
    """)

  /// Go does not know the service.
  static let unknownServiceGo = hex(
    """
    00000025 00000001 02 00
    0a23080c121f7365727669636520636f6e7461696e6572642e7461736b2e76322e5461736b
    """)

  /// Go does not know the method.
  static let unknownMethodGo = hex(
    """
    00000014 00000001 02 00
    0a12080c120e6d6574686f6420436f6e6e656374
    """)

  /// Rust does not know the service, and calls that InvalidArgument.
  static let unknownServiceRust = hex(
    """
    00000034 00000001 02 00
    0a320803122e636f6e7461696e6572642e7461736b2e76322e5461736b207365727669636520646f
    6573206e6f74206578697374
    """)

  /// The handler's deadline has passed.
  static let deadlineExceeded = hex(
    """
    0000001f 00000001 02 00
    0a1d08041219636f6e7465787420646561646c696e65206578636565646564
    """)

  /// The answer to a request on stream 2.
  static let evenID = hex(
    """
    00000037 00000002 02 00
    0a350803123153747265616d4944206d757374206265206f646420666f7220636c69656e7420696e
    697469617465642073747265616d73
    """)

  /// The answer to a request on a stream that has been used.
  static let reusedID = hex(
    """
    00000033 00000005 02 00
    0a310803122d53747265616d49442063616e6e6f742062652072652d7573656420616e64206d7573
    7420696e6372656d656e74
    """)

  /// The answer to data on a stream that is not open.
  static let dataOnUnknownStream = hex(
    """
    00000022 00000001 02 00
    0a200803121c53747265616d4944206973206e6f206c6f6e67657220616374697665
    """)

  /// The answer to a request one byte above the limit.
  static let oversizeRefused = hex(
    """
    00000043 00000001 02 00
    0a410808123d6d657373616765206c656e677468203431393433303520657863656564206d617869
    6d756d206d6573736167652073697a65206f662034313934333034
    """)

  /// The header of the largest frame that is legal.
  static let largestLegalHeader = hex(
    """
    00400000 00000001 01 00
    """)

  /// The header of the smallest frame that is too large.
  static let oversizeHeader = hex(
    """
    00400001 00000001 01 00
    """)

  /// A header whose reserved first byte is used: a length of 16 MiB.
  static let reservedByteHeader = hex(
    """
    01000000 00000001 01 00
    """)

  /// A frame of a type that nobody knows.
  static let unknownType = hex(
    """
    00000003 00000001 7f 00
    616263
    """)

  /// A request on the highest stream id.
  static let highestID = hex(
    """
    00000027 ffffffff 01 00
    0a17636f6e7461696e6572642e7461736b2e76322e5461736b1207436f6e6e6563741a030a0161
    """)

  /// The request that ttrpc-rust tests itself with; its flags mean nothing.
  static let rustSelfCheck = hex(
    """
    00000043 00123456 01 ef
    0a11677270632e5465737453657276696365731204546573741a090102030405060708092080dac4
    092a180a09746573745f6b657931120b746573745f76616c756531
    """)
}
