extension TransportAddress: CustomStringConvertible, CustomDebugStringConvertible {
  /// ``text`` without secrets: values of parameters that are named like one, and of a command's
  /// environment, read `***`.
  public var description: String {
    var copy = self
    if case .other(let transport, let place) = place {
      copy.place = .other(transport: transport, place: Redaction.withoutPassword(place))
    }
    return copy.written(value: Redaction.value)
  }

  /// The same as ``description``: a debugger's print is a log, too.
  public var debugDescription: String { description }
}

extension TransportAddress.Parameter: CustomStringConvertible, CustomDebugStringConvertible {
  public var description: String { "\(name)=\(Redaction.value(self))" }
  public var debugDescription: String { description }
}

/// What of an address must not show up in messages.
enum Redaction {
  static let mark = "***"

  private static let words = ["key", "passw", "passphrase", "token", "psk", "secret", "credential"]

  static func isSecret(name: some StringProtocol) -> Bool {
    let lower = name.lowercased()
    return words.contains { lower.contains($0) }
  }

  static func value(_ parameter: TransportAddress.Parameter) -> String {
    if isSecret(name: parameter.name) { return mark }
    guard let equals = parameter.value.utf8.firstIndex(of: UInt8(ascii: "=")) else {
      return parameter.value
    }
    let name = parameter.value[..<equals]
    // A command's environment is where programs take their secrets from, under any name.
    if parameter.name == "env" || isSecret(name: name) { return "\(name)=\(mark)" }
    return parameter.value
  }

  /// `user:password@host` with the password masked.
  static func withoutPassword(_ place: String) -> String {
    let bytes = place.utf8
    guard let at = bytes.lastIndex(of: UInt8(ascii: "@")),
      let host = bytes[..<at].lastIndex(of: UInt8(ascii: "/")).map(bytes.index(after:))
        ?? Optional(bytes.startIndex),
      let colon = bytes[host..<at].firstIndex(of: UInt8(ascii: ":"))
    else { return place }
    return place[..<bytes.index(after: colon)] + mark + place[at...]
  }
}
