/// A JSON document as a value, for files that others own: what is not understood is kept as it is.
///
/// Whole numbers stay exact over the full range of Int64 and UInt64 (a `double` would round a device
/// number or a memory limit), and members are printed in the order of their names, so that equal
/// values give equal bytes.
public enum JSONValue: Hashable, Sendable {
  case null
  case bool(Bool)
  /// A whole number written without fraction and exponent.
  case integer(Int64)
  /// A whole number that only UInt64 can hold. What fits into Int64 is always an `integer`.
  case unsigned(UInt64)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])
}

extension JSONValue {
  /// A member of an object, or of an object in it, and so on; nil if there is none on the way.
  ///
  /// Setting makes the objects on the way that are missing, and replaces those that are no objects.
  /// Setting nil removes the member and makes nothing.
  public subscript(path: String...) -> JSONValue? {
    get { value(at: path[...]) }
    set { set(newValue, at: path[...]) }
  }

  private func value(at path: ArraySlice<String>) -> JSONValue? {
    guard let name = path.first else { return self }
    guard case .object(let members) = self else { return nil }
    return members[name]?.value(at: path.dropFirst())
  }

  private mutating func set(_ value: JSONValue?, at path: ArraySlice<String>) {
    guard let name = path.first else {
      if let value { self = value }
      return
    }
    var members: [String: JSONValue] = [:]
    if case .object(let there) = self { members = there }
    if path.count == 1 {
      members[name] = value
    } else {
      if value == nil, members[name] == nil { return }
      var member = members[name] ?? .object([:])
      member.set(value, at: path.dropFirst())
      members[name] = member
    }
    self = .object(members)
  }

  public var string: String? {
    if case .string(let value) = self { value } else { nil }
  }

  public var bool: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  public var integer: Int64? {
    if case .integer(let value) = self { value } else { nil }
  }

  public var array: [JSONValue]? {
    if case .array(let value) = self { value } else { nil }
  }

  public var object: [String: JSONValue]? {
    if case .object(let value) = self { value } else { nil }
  }

  /// An array of strings and nothing else.
  public var strings: [String]? {
    guard let array else { return nil }
    let strings = array.compactMap(\.string)
    return strings.count == array.count ? strings : nil
  }

  /// What it is, for error messages.
  public var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer, .unsigned, .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }

  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(Dictionary(elements, uniquingKeysWith: { _, last in last }))
  }

  public init(strings: [String]) { self = .array(strings.map(JSONValue.string)) }
}
