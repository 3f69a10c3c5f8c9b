extension JSONValue {
  /// The document as UTF-8, without blanks, members in the order of their names.
  public func printed() -> [UInt8] {
    var bytes: [UInt8] = []
    print(into: &bytes)
    return bytes
  }

  private func print(into bytes: inout [UInt8]) {
    switch self {
    case .null: bytes += "null".utf8
    case .bool(let value): bytes += (value ? "true" : "false").utf8
    case .integer(let value): bytes += String(value).utf8
    case .unsigned(let value): bytes += String(value).utf8
    // JSON has no word for these, and the parser never gives them.
    case .number(let value): bytes += (value.isFinite ? "\(value)" : "null").utf8
    case .string(let value): Self.print(value, into: &bytes)
    case .array(let elements):
      bytes.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: ",")) }
        element.print(into: &bytes)
      }
      bytes.append(UInt8(ascii: "]"))
    case .object(let members):
      bytes.append(UInt8(ascii: "{"))
      let sorted = members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      for (index, member) in sorted.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: ",")) }
        Self.print(member.key, into: &bytes)
        bytes.append(UInt8(ascii: ":"))
        member.value.print(into: &bytes)
      }
      bytes.append(UInt8(ascii: "}"))
    }
  }

  private static func print(_ string: String, into bytes: inout [UInt8]) {
    let quote = UInt8(ascii: "\"")
    let backslash = UInt8(ascii: "\\")
    bytes.append(quote)
    for byte in string.utf8 {
      switch byte {
      case quote, backslash: bytes += [backslash, byte]
      case 0x0A: bytes += [backslash, UInt8(ascii: "n")]
      case 0x0D: bytes += [backslash, UInt8(ascii: "r")]
      case 0x09: bytes += [backslash, UInt8(ascii: "t")]
      case 0..<0x20:
        let digits = Array("0123456789abcdef".utf8)
        bytes += "\\u00".utf8
        bytes += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      default: bytes.append(byte)
      }
    }
    bytes.append(quote)
  }
}
