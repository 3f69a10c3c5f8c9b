/// Percent-encoding (RFC 3986, 2.1), of no more than the grammar needs.
enum PercentCoding {
  /// What a printed text must not hold as it is, besides control bytes and spaces.
  enum Reserved {
    case path, hybridVsockPath, parameterName, parameterValue

    func contains(_ byte: UInt8) -> Bool {
      switch byte {
      case 0x00...0x20, 0x7f, UInt8(ascii: "%"), UInt8(ascii: "?"): true
      case UInt8(ascii: ":"): self == .hybridVsockPath
      case UInt8(ascii: "&"): self == .parameterName || self == .parameterValue
      case UInt8(ascii: "="): self == .parameterName
      default: false
      }
    }
  }

  static func encode(_ text: String, reserved: Reserved) -> String {
    guard text.utf8.contains(where: reserved.contains) else { return text }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count + 16)
    for byte in text.utf8 {
      if reserved.contains(byte) {
        bytes.append(UInt8(ascii: "%"))
        bytes.append(digit(byte >> 4))
        bytes.append(digit(byte & 15))
      } else {
        bytes.append(byte)
      }
    }
    // Only ASCII bytes were replaced, by ASCII: it is as valid as it was.
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The value of a hexadecimal digit, or nil.
  static func value(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  private static func digit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
  }
}
