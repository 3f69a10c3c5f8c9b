/// The part of TOML 1.0 that a table of options needs: keys with strings, whole numbers, booleans
/// and arrays of them.
public struct TOMLTable: Sendable {
  public enum Value: Hashable, Sendable {
    case string(String)
    case integer(Int64)
    case bool(Bool)
    case array([Value])
    /// A date, a fraction, an inline table: legal, and not understood.
    case other(String)

    public var string: String? { if case .string(let value) = self { value } else { nil } }
    public var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    public var strings: [String]? {
      guard case .array(let values) = self else { return nil }
      let strings = values.compactMap(\.string)
      return strings.count == values.count ? strings : nil
    }
  }

  public struct Fault: Error, Hashable, Sendable, CustomStringConvertible {
    /// From 1.
    public var line: Int
    public var message: String

    public init(line: Int, message: String) {
      self.line = line
      self.message = message
    }

    public var description: String { "line \(line): \(message)" }
  }

  /// A key and its value, or a table's header.
  public struct Entry: Hashable, Sendable {
    /// The names of the tables that it is in, and its own.
    public var path: [String]
    /// `nil` for a header.
    public var value: Value?
    /// From 1.
    public var line: Int
  }

  public static let largest = 1 << 20

  /// In the order of the text.
  public let entries: [Entry]

  /// Keys of tables below the first are `table.key`.
  public var values: [String: Value] {
    var values: [String: Value] = [:]
    for entry in entries {
      if let value = entry.value { values[entry.path.joined(separator: ".")] = value }
    }
    return values
  }

  /// - Throws: ``Fault``, at the first place that is not TOML, or is of the part that is not read.
  public init(parsing bytes: [UInt8]) throws(Fault) {
    guard bytes.count <= Self.largest else {
      throw Fault(line: 1, message: "the text is larger than \(Self.largest) bytes")
    }
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw Fault(line: 1, message: "the text is not valid UTF-8")
    }
    var parser = TOMLParser(bytes: bytes)
    entries = try parser.document()
  }
}

private struct TOMLParser {
  let bytes: [UInt8]
  var position = 0
  var depth = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  mutating func document() throws(TOMLTable.Fault) -> [TOMLTable.Entry] {
    var entries: [TOMLTable.Entry] = []
    var known: Set<[String]> = []
    var prefix: [String] = []
    while true {
      skip(lines: true)
      guard let byte = peek else { return entries }
      let line = line
      if byte == UInt8(ascii: "[") {
        prefix = try header()
        entries.append(TOMLTable.Entry(path: prefix, value: nil, line: line))
      } else {
        let path = prefix + (try key())
        let name = path.joined(separator: ".")
        guard take("=") else { throw fault("\"=\" is expected behind the key \(name)") }
        skip(lines: false)
        entries.append(TOMLTable.Entry(path: path, value: try value(), line: line))
        guard known.insert(path).inserted else { throw fault("the key \(name) is there twice") }
      }
      skip(lines: false)
      guard peek == nil || peek == 0x0A else { throw fault("something follows on the line") }
    }
  }

  private mutating func header() throws(TOMLTable.Fault) -> [String] {
    let isArray = bytes[position...].starts(with: "[[".utf8)
    position += isArray ? 2 : 1
    skip(lines: false)
    let name = try key()
    for _ in 0..<(isArray ? 2 : 1) where !take("]") {
      throw fault("the table's name has no end")
    }
    return name
  }

  /// A key, dotted or not, and the blanks behind it.
  private mutating func key() throws(TOMLTable.Fault) -> [String] {
    var parts: [String] = []
    repeat {
      skip(lines: false)
      if peek == UInt8(ascii: "\"") || peek == UInt8(ascii: "'") {
        parts.append(try string())
      } else {
        let start = position
        while let byte = peek, isBare(byte) { position += 1 }
        guard position > start else { throw fault("a key is expected here") }
        parts.append(text(start..<position))
      }
      skip(lines: false)
    } while take(".")
    return parts
  }

  private mutating func value() throws(TOMLTable.Fault) -> TOMLTable.Value {
    switch peek {
    case UInt8(ascii: "\""), UInt8(ascii: "'"): return .string(try string())
    case UInt8(ascii: "["): return try array()
    case UInt8(ascii: "{"): return try inlineTable()
    default: break
    }
    let start = position
    while let byte = peek, byte > 0x20, !Array(",]}#".utf8).contains(byte) { position += 1 }
    let word = text(start..<position)
    switch word {
    case "": throw fault("a value is expected here")
    case "true": return .bool(true)
    case "false": return .bool(false)
    default:
      if let number = Int64(word.filter { $0 != "_" }) { return .integer(number) }
      return .other(word)
    }
  }

  private mutating func array() throws(TOMLTable.Fault) -> TOMLTable.Value {
    guard depth < 16 else { throw fault("more than 16 levels of nesting") }
    depth += 1
    defer { depth -= 1 }
    position += 1
    var elements: [TOMLTable.Value] = []
    while true {
      skip(lines: true)
      if take("]") { return .array(elements) }
      elements.append(try value())
      skip(lines: true)
      if take("]") { return .array(elements) }
      guard take(",") else { throw fault("\",\" or \"]\" is expected here") }
    }
  }

  private mutating func inlineTable() throws(TOMLTable.Fault) -> TOMLTable.Value {
    guard depth < 16 else { throw fault("more than 16 levels of nesting") }
    depth += 1
    defer { depth -= 1 }
    let start = position
    position += 1
    skip(lines: false)
    if take("}") { return .other(text(start..<position)) }
    while true {
      _ = try key()
      guard take("=") else { throw fault("\"=\" is expected here") }
      skip(lines: false)
      _ = try value()
      skip(lines: false)
      if take("}") { return .other(text(start..<position)) }
      guard take(",") else { throw fault("\",\" or \"}\" is expected here") }
    }
  }

  private mutating func string() throws(TOMLTable.Fault) -> String {
    let quote = bytes[position]
    if bytes[position...].starts(with: [quote, quote, quote]) {
      throw fault("strings over several lines are not read here")
    }
    position += 1
    var result: [UInt8] = []
    while let byte = peek, byte != 0x0A {
      position += 1
      if byte == quote { return String(decoding: result, as: UTF8.self) }
      if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
        result += try escaped()
      } else {
        result.append(byte)
      }
    }
    throw fault("the string has no end")
  }

  private mutating func escaped() throws(TOMLTable.Fault) -> [UInt8] {
    guard let byte = peek else { throw fault("the text ends inside a string") }
    position += 1
    let digits: Int
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): return [byte]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "n"): return [0x0A]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "r"): return [0x0D]
    case UInt8(ascii: "u"): digits = 4
    case UInt8(ascii: "U"): digits = 8
    default: throw fault("an escape that TOML does not have")
    }
    let end = min(position + digits, bytes.count)
    let word = text(position..<end)
    guard word.utf8.count == digits, word.allSatisfy(\.isHexDigit),
      let scalar = UInt32(word, radix: 16).flatMap(UnicodeScalar.init)
    else { throw fault("an escape that is no character") }
    position = end
    return Array(String(Character(scalar)).utf8)
  }

  private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  private func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

  private mutating func take(_ byte: UnicodeScalar) -> Bool {
    guard peek == UInt8(ascii: byte) else { return false }
    position += 1
    return true
  }

  private func isBare(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default: false
    }
  }

  /// Skips blanks and comments, and the ends of lines with them if `lines`.
  private mutating func skip(lines: Bool) {
    while let byte = peek {
      switch byte {
      case 0x20, 0x09, 0x0D: position += 1
      case 0x0A where lines: position += 1
      case UInt8(ascii: "#"): while let byte = peek, byte != 0x0A { position += 1 }
      default: return
      }
    }
  }

  private func fault(_ message: String) -> TOMLTable.Fault {
    TOMLTable.Fault(line: line, message: message)
  }

  private var line: Int { bytes[..<min(position, bytes.count)].count { $0 == 0x0A } + 1 }
}
