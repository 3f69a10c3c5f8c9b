/// The metadata of a request: an ordered list of keys and values.
///
/// Keys are lower-cased on the way in, so that `"Foo"` and `"foo"` are one key (ttrpc itself does
/// not fold case on the wire, which makes Go's `Get` miss keys that were sent in capitals). A key
/// may occur more than once; the order of its values is kept.
public struct RPCMetadata: Hashable, Sendable {
  public struct Entry: Hashable, Sendable {
    public let key: String
    public let value: String
  }

  public private(set) var entries: [Entry] = []

  public init() {}

  public var isEmpty: Bool { entries.isEmpty }

  /// Adds a value behind those that the key has.
  public mutating func append(_ value: String, for key: String) {
    entries.append(Entry(key: key.lowercased(), value: value))
  }

  /// The key's first value. Setting replaces all of its values, `nil` removes them.
  public subscript(key: String) -> String? {
    get {
      let key = key.lowercased()
      return entries.first { $0.key == key }?.value
    }
    set {
      let key = key.lowercased()
      entries.removeAll { $0.key == key }
      if let newValue { entries.append(Entry(key: key, value: newValue)) }
    }
  }

  /// All of the key's values, in order.
  public func values(for key: String) -> [String] {
    let key = key.lowercased()
    return entries.filter { $0.key == key }.map(\.value)
  }
}

extension RPCMetadata: ExpressibleByDictionaryLiteral {
  public init(dictionaryLiteral elements: (String, String)...) {
    for (key, value) in elements { append(value, for: key) }
  }
}
