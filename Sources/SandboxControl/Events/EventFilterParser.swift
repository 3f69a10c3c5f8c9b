/// Reads a filter of events. The language is containerd's (`pkg/filters`):
///
/// ```
/// filter   = selector *( "," selector )
/// selector = path [ ( "==" / "!=" / "~=" ) value ]
/// path     = field *( "." field )
/// field    = 1*( letter / digit / "_" ) / text in double quotation marks
/// value    = characters other than commas and spaces, not begun by a quotation mark /
///            text in double quotation marks / for "~=" also between slashes or bars
/// ```
///
/// Between quotation marks a backslash escapes, as in Go.
struct EventFilterParser {
  private let text: [Unicode.Scalar]
  private var position = 0

  init(_ text: String) { self.text = Array(text.unicodeScalars) }

  mutating func selectors() throws(SandboxControlError) -> [EventFilter.Selector] {
    var selectors = [try selector()]
    while position < text.count {
      guard next == "," else { throw fault("a comma is expected") }
      position += 1
      selectors.append(try selector())
    }
    return selectors
  }

  private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

  private mutating func skipSpaces() {
    while let scalar = next, scalar.properties.isWhitespace { position += 1 }
  }

  private mutating func selector() throws(SandboxControlError) -> EventFilter.Selector {
    var path = [try field()]
    while next == "." {
      position += 1
      path.append(try field())
    }
    skipSpaces()
    guard let scalar = next, scalar != "," else {
      return EventFilter.Selector(path: path, condition: .isThere)
    }
    let start = position
    while let scalar = next, "=!~".unicodeScalars.contains(scalar) { position += 1 }
    let condition: EventFilter.Condition
    switch String(String.UnicodeScalarView(text[start..<position])) {
    case "==": condition = .equals(try value(quotedBy: "\""))
    case "!=": condition = .differs(try value(quotedBy: "\""))
    case "~=": condition = .matches(try expression())
    default:
      position = start
      throw fault("==, != or ~= is expected")
    }
    skipSpaces()
    return EventFilter.Selector(path: path, condition: condition)
  }

  private mutating func field() throws(SandboxControlError) -> String {
    skipSpaces()
    if next == "\"" { return try quoted() }
    let start = position
    while let scalar = next, Self.isOfField(scalar) { position += 1 }
    guard position > start else { throw fault("the name of a field is expected") }
    return String(String.UnicodeScalarView(text[start..<position]))
  }

  private static func isOfField(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "a"..."z", "A"..."Z", "0"..."9", "_": true
    default: false
    }
  }

  private mutating func value(quotedBy marks: String) throws(SandboxControlError) -> String {
    skipSpaces()
    guard let first = next else { throw fault("a value is expected") }
    if marks.unicodeScalars.contains(first) { return try quoted() }
    if "\"/|".unicodeScalars.contains(first) {
      throw fault("a value that begins with \(first) has to stand in double quotation marks")
    }
    let start = position
    while let scalar = next, scalar != ",", !scalar.properties.isWhitespace, scalar.value >= 0x20 {
      position += 1
    }
    guard position > start else { throw fault("a value is expected") }
    return String(String.UnicodeScalarView(text[start..<position]))
  }

  private mutating func expression() throws(SandboxControlError) -> Regex<AnyRegexOutput> {
    let start = position
    let text = try value(quotedBy: "\"/|")
    do { return try Regex(text).matchingSemantics(.unicodeScalar) } catch {
      position = start
      throw fault("the regular expression cannot be meant")
    }
  }

  // MARK: Quotation marks

  /// What stands between here and the next of the mark that is here.
  private mutating func quoted() throws(SandboxControlError) -> String {
    let (start, mark) = (position, next)
    position += 1
    var held = String.UnicodeScalarView()
    while let scalar = next, scalar != "\n" {
      position += 1
      if scalar == mark { return String(held) }
      held.append(scalar == "\\" ? try escaped(mark) : scalar)
    }
    position = start
    throw fault("the quotation mark has no counterpart")
  }

  private mutating func escaped(_ mark: Unicode.Scalar?) throws(SandboxControlError)
    -> Unicode.Scalar
  {
    guard let scalar = next else { throw fault("something is expected behind the backslash") }
    position += 1
    switch scalar {
    case "a": return "\u{07}"
    case "b": return "\u{08}"
    case "f": return "\u{0C}"
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "v": return "\u{0B}"
    case "\\": return scalar
    case "x": return try number(digits: 2, base: 16)
    case "u": return try number(digits: 4, base: 16)
    case "U": return try number(digits: 8, base: 16)
    case "0"..."7":
      position -= 1
      return try number(digits: 3, base: 8)
    default:
      guard scalar == mark else {
        position -= 1
        throw fault("there is no such escape")
      }
      return scalar
    }
  }

  private mutating func number(
    digits: Int, base: Int
  ) throws(SandboxControlError) -> Unicode.Scalar {
    let end = position + digits
    guard end <= text.count,
      let value = UInt32(String(String.UnicodeScalarView(text[position..<end])), radix: base),
      let scalar = Unicode.Scalar(value)
    else { throw fault("\(digits) digits of a character are expected") }
    position = end
    return scalar
  }

  private func fault(_ expected: String) -> SandboxControlError {
    let shown = String(String.UnicodeScalarView(text))
    return SandboxControlError(
      code: .invalidRequest,
      message: "the filter \(shown.debugDescription) is none, at character \(position + 1): "
        + expected,
      hint: "A filter is such as namespace==k8s.io,topic~=^/tasks/ or topic==\"/tasks/exit\".")
  }
}
