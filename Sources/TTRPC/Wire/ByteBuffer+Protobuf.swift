import NIOCore

/// Writing protobuf's wire format, and how long it will be.
extension ByteBuffer {
  static func varintSize(_ value: UInt64) -> Int {
    // Seven bits a byte, at least one byte.
    value == 0 ? 1 : (64 - value.leadingZeroBitCount + 6) / 7
  }

  /// A field with a number below 16 and a length-delimited content of `count` bytes.
  static func contentFieldSize(_ count: Int) -> Int {
    1 + varintSize(UInt64(count)) + count
  }

  mutating func writeVarint(_ value: UInt64) {
    var value = value
    while value >= 0x80 {
      writeInteger(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    writeInteger(UInt8(value))
  }

  /// The tag and the length of a length-delimited field; its content comes next.
  mutating func writeContentHead(tag: UInt8, count: Int) {
    writeInteger(tag)
    writeVarint(UInt64(count))
  }

  mutating func writeStringField(tag: UInt8, _ text: String) {
    writeContentHead(tag: tag, count: text.utf8.count)
    writeString(text)
  }
}
