/// What is wrong with a JSON text, and where.
public struct JSONFault: Error, Hashable, Sendable, CustomStringConvertible {
  /// The line, from 1.
  public var line: Int
  /// The column in bytes, from 1.
  public var column: Int
  public var message: String

  public var description: String { "line \(line), column \(column): \(message)" }
}

extension JSONValue {
  /// Parses one JSON document (RFC 8259): UTF-8, nothing but blanks around it.
  ///
  /// Stricter than the RFC asks where a lenient reader would have to guess: a name that an object has
  /// twice, an invalid UTF-8 sequence, half a surrogate pair and a number out of range are faults.
  /// Nesting is bounded at 256 levels.
  public init(parsing bytes: some Collection<UInt8>) throws(JSONFault) {
    var parser = JSONParser(bytes: Array(bytes))
    self = try parser.document()
  }
}

private struct JSONParser {
  let bytes: [UInt8]
  var position = 0
  var depth = 0

  static let deepest = 256

  init(bytes: [UInt8]) { self.bytes = bytes }

  mutating func document() throws(JSONFault) -> JSONValue {
    skipBlanks()
    guard position < bytes.count else { throw fault("the text is empty") }
    let value = try value()
    skipBlanks()
    guard position == bytes.count else { throw fault("something follows the document") }
    return value
  }

  private mutating func value() throws(JSONFault) -> JSONValue {
    guard let byte = peek else { throw fault("a value is missing at the end of the text") }
    switch byte {
    case UInt8(ascii: "{"): return try nested { (parser) throws(JSONFault) in try parser.object() }
    case UInt8(ascii: "["): return try nested { (parser) throws(JSONFault) in try parser.array() }
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: throw fault("a value is expected here, not \(describe(byte))")
    }
  }

  private mutating func nested(
    _ body: (inout JSONParser) throws(JSONFault) -> JSONValue
  ) throws(JSONFault) -> JSONValue {
    guard depth < Self.deepest else { throw fault("more than \(Self.deepest) levels of nesting") }
    depth += 1
    position += 1
    skipBlanks()
    let value = try body(&self)
    depth -= 1
    return value
  }

  private mutating func object() throws(JSONFault) -> JSONValue {
    var members: [String: JSONValue] = [:]
    if take(UInt8(ascii: "}")) { return .object(members) }
    while true {
      guard peek == UInt8(ascii: "\"") else { throw fault("a member's name is expected here") }
      let start = position
      let name = try string()
      skipBlanks()
      guard take(UInt8(ascii: ":")) else { throw fault("\":\" is expected here") }
      skipBlanks()
      let value = try value()
      guard members.updateValue(value, forKey: name) == nil else {
        throw fault("the name \"\(name)\" is there twice", at: start)
      }
      skipBlanks()
      if take(UInt8(ascii: "}")) { return .object(members) }
      guard take(UInt8(ascii: ",")) else { throw fault("\",\" or \"}\" is expected here") }
      skipBlanks()
    }
  }

  private mutating func array() throws(JSONFault) -> JSONValue {
    var elements: [JSONValue] = []
    if take(UInt8(ascii: "]")) { return .array(elements) }
    while true {
      elements.append(try value())
      skipBlanks()
      if take(UInt8(ascii: "]")) { return .array(elements) }
      guard take(UInt8(ascii: ",")) else { throw fault("\",\" or \"]\" is expected here") }
      skipBlanks()
    }
  }

  private mutating func word(_ word: String, _ value: JSONValue) throws(JSONFault) -> JSONValue {
    guard bytes[position...].starts(with: word.utf8) else {
      throw fault("a value is expected here; \"\(word)\" may be meant")
    }
    position += word.utf8.count
    return value
  }

  private mutating func number() throws(JSONFault) -> JSONValue {
    let start = position
    _ = take(UInt8(ascii: "-"))
    let leading = position
    let digits = try digits()
    guard digits == 1 || bytes[leading] != UInt8(ascii: "0") else {
      throw fault("a number must not begin with 0", at: start)
    }
    var isWhole = true
    if take(UInt8(ascii: ".")) {
      isWhole = false
      _ = try self.digits()
    }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      isWhole = false
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      _ = try self.digits()
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isWhole {
      if let value = Int64(text) { return .integer(value) }
      if let value = UInt64(text) { return .unsigned(value) }
    } else if let value = Double(text), value.isFinite {
      return .number(value)
    }
    throw fault("the number \(text.prefix(40)) is out of range", at: start)
  }

  private mutating func digits() throws(JSONFault) -> Int {
    let start = position
    while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
    guard position > start else { throw fault("a digit is expected here") }
    return position - start
  }

  private mutating func string() throws(JSONFault) -> String {
    let start = position
    position += 1
    var text: [UInt8] = []
    while let byte = peek {
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: text, as: UTF8.self) else {
          throw fault("the string is not valid UTF-8", at: start)
        }
        return string
      case UInt8(ascii: "\\"): text += try escaped()
      case 0..<0x20: throw fault("a control character must be escaped", at: position - 1)
      default: text.append(byte)
      }
    }
    throw fault("the string that begins here has no end", at: start)
  }

  private mutating func escaped() throws(JSONFault) -> [UInt8] {
    let start = position - 1
    guard let byte = peek else { throw fault("the text ends inside a string") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "n"): return [0x0A]
    case UInt8(ascii: "r"): return [0x0D]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "u"): break
    default: throw fault("\\\(describe(byte)) is no escape", at: start)
    }
    let first = try hexadecimal()
    var units = [first]
    if UTF16.isLeadSurrogate(first), take(UInt8(ascii: "\\")) {
      guard take(UInt8(ascii: "u")) else { throw fault("half a surrogate pair", at: start) }
      units.append(try hexadecimal())
    }
    guard let string = String(validating: units, as: UTF16.self) else {
      throw fault("half a surrogate pair", at: start)
    }
    return Array(string.utf8)
  }

  private mutating func hexadecimal() throws(JSONFault) -> UInt16 {
    let end = position + 4
    guard end <= bytes.count else { throw fault("four hexadecimal digits are expected here") }
    let digits = bytes[position..<end]
    // UInt16's own parser would take a sign.
    let areDigits = digits.allSatisfy { Character(UnicodeScalar($0)).isHexDigit }
    guard areDigits, let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16) else {
      throw fault("four hexadecimal digits are expected here")
    }
    position = end
    return unit
  }

  private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard peek == byte else { return false }
    position += 1
    return true
  }

  private mutating func skipBlanks() {
    while let byte = peek, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { position += 1 }
  }

  private func describe(_ byte: UInt8) -> String {
    (0x21...0x7E).contains(byte)
      ? "\"\(Character(UnicodeScalar(byte)))\"" : "the byte 0x\(String(byte, radix: 16))"
  }

  private func fault(_ message: String, at place: Int? = nil) -> JSONFault {
    let before = bytes[..<(place ?? position)]
    let line = before.count { $0 == 0x0A } + 1
    let lineStart = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
    return JSONFault(line: line, column: before.count - lineStart + 1, message: message)
  }
}
