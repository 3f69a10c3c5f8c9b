import JSON

extension JSONValue {
  /// The document for people: a member a line, indented, in the order of their names.
  var pretty: String { pretty(indentation: "") }

  private func pretty(indentation: String) -> String {
    let inner = indentation + "  "
    switch self {
    case .array(let elements) where !elements.isEmpty:
      let lines = elements.map { inner + $0.pretty(indentation: inner) }
      return "[\n\(lines.joined(separator: ",\n"))\n\(indentation)]"
    case .object(let members) where !members.isEmpty:
      let lines = members.sorted { $0.key < $1.key }.map { name, value in
        "\(inner)\(JSONValue.string(name).compact): \(value.pretty(indentation: inner))"
      }
      return "{\n\(lines.joined(separator: ",\n"))\n\(indentation)}"
    default: return compact
    }
  }

  /// In one line.
  var compact: String { String(decoding: printed(), as: UTF8.self) }
}
