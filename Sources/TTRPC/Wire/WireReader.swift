/// Reads protobuf's wire format from borrowed bytes. Every access is behind a check of its bounds.
struct WireReader {
  enum WireType: UInt64 {
    case varint = 0
    case fixed64 = 1
    case lengthDelimited = 2
    case startGroup = 3
    case endGroup = 4
    case fixed32 = 5
  }

  struct Key {
    var field: UInt64
    var type: WireType
  }

  private let bytes: UnsafeRawBufferPointer
  private var position: Int
  private let end: Int

  /// The deepest nesting of unknown groups that is skipped; protobuf's own parsers have the limit.
  private static let deepestGroup = 100
  private static let longestKey = 5

  init(_ bytes: UnsafeRawBufferPointer, in range: Range<Int>? = nil) {
    let whole = 0..<bytes.count
    let range = (range ?? whole).clamped(to: whole)
    self.bytes = bytes
    self.position = range.lowerBound
    self.end = range.upperBound
  }

  /// The next field's key, or nil at the end.
  mutating func nextKey() throws(WireError) -> Key? {
    guard position < end else { return nil }
    let start = position
    let raw = try varint()
    // Padded with zeros it would fit into more; C++ refuses that as well.
    guard position - start <= Self.longestKey else { throw .keyLength }
    let field = raw >> 3
    guard field >= 1, field <= 0x1fff_ffff else { throw .fieldNumber }
    guard let type = WireType(rawValue: raw & 7) else { throw .wireType }
    return Key(field: field, type: type)
  }

  mutating func varint() throws(WireError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while position < end {
      let byte = bytes[position]
      position += 1
      // The tenth byte has room for one bit.
      if shift == 63, byte > 1 { throw .varintOverflow }
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    throw .truncated
  }

  /// The range, within the borrowed bytes, of a length-delimited field's content.
  mutating func content() throws(WireError) -> Range<Int> {
    let length = try varint()
    guard length <= UInt64(end - position) else { throw .truncated }
    let range = position..<(position + Int(length))
    position = range.upperBound
    return range
  }

  /// A proto3 string, which must be UTF-8.
  mutating func string() throws(WireError) -> String {
    let content = UnsafeRawBufferPointer(rebasing: bytes[try content()])
    guard let text = String(validating: content, as: UTF8.self) else { throw .notUTF8 }
    return text
  }

  mutating func byteArray() throws(WireError) -> [UInt8] { Array(bytes[try content()]) }

  /// Passes over a field that is not known.
  mutating func skip(_ key: Key) throws(WireError) { try skip(key, depth: 0) }

  private mutating func skip(_ key: Key, depth: Int) throws(WireError) {
    switch key.type {
    case .varint: _ = try varint()
    case .fixed64: try advance(8)
    case .fixed32: try advance(4)
    case .lengthDelimited: _ = try content()
    case .endGroup: throw .unexpectedEndGroup
    case .startGroup:
      guard depth < Self.deepestGroup else { throw .nesting }
      while true {
        guard let inner = try nextKey() else { throw .truncated }
        if inner.type == .endGroup {
          guard inner.field == key.field else { throw .unexpectedEndGroup }
          return
        }
        try skip(inner, depth: depth + 1)
      }
    }
  }

  private mutating func advance(_ count: Int) throws(WireError) {
    guard end - position >= count else { throw .truncated }
    position += count
  }
}

/// What is wrong with bytes that should have been protobuf.
enum WireError: Error, CustomStringConvertible {
  case truncated, varintOverflow, keyLength, fieldNumber, wireType, unexpectedEndGroup, nesting,
    notUTF8

  var description: String {
    switch self {
    case .truncated: "a field reaches beyond the end"
    case .varintOverflow: "a number has more than 64 bits"
    case .keyLength: "a field's key has more than five bytes"
    case .fieldNumber: "a field number is out of range"
    case .wireType: "a field has an unknown wire type"
    case .unexpectedEndGroup: "a group ends that was not begun"
    case .nesting: "groups are nested too deep"
    case .notUTF8: "a string is not UTF-8"
    }
  }
}
