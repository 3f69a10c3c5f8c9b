/// Rewrites the sloppy forms of addresses into the strict grammar, one after the other.
///
/// It only moves bytes about; whether the result is an address is the parser's to say.
struct AddressCorrector {
  typealias Correction = TransportAddress.Correction

  private(set) var corrections: [Correction] = []
  private var bytes: ArraySlice<UInt8>

  init(_ text: String) { self.bytes = ArraySlice(text.utf8) }

  mutating func run() -> String {
    trimWhitespace()
    let isVerbatim = completeScheme()
    lowerCaseScheme()
    addThirdSlash()
    removeTrailingSlash()
    removeEmptyParameters()
    if !isVerbatim { encodePercents() }
    // Valid text was cut and completed at ASCII bytes only.
    return String(decoding: bytes, as: UTF8.self)
  }

  private mutating func note(_ kind: Correction.Kind, _ description: String) {
    corrections.append(Correction(kind: kind, description: description))
  }

  private mutating func trimWhitespace() {
    let trimmed = bytes.drop(while: AddressParser.isSpace)
    guard let last = trimmed.lastIndex(where: { !AddressParser.isSpace($0) }),
      trimmed.startIndex != bytes.startIndex || last + 1 != bytes.endIndex
    else { return }
    bytes = trimmed[...last]
    note(.outerWhitespace, "white space around the address was removed")
  }

  // MARK: Without "://"

  /// Gives a text without `://` a scheme. True when its place was taken verbatim, so that it is
  /// encoded already.
  private mutating func completeScheme() -> Bool {
    guard separator == nil else { return false }
    var rpc = ""
    var rest = bytes
    if let plus = bytes.firstIndex(of: UInt8(ascii: "+")) {
      let written = text(bytes[..<plus])
      let name = written.lowercased()
      if AddressNames.protocols.contains(name) {
        if name != written { note(.upperCaseName, "\"\(written)\" was read as \(name)") }
        rpc = name + "+"
        rest = bytes[(plus + 1)...]
      }
    }
    guard let first = rest.first else { return false }
    if completeSchemeWithColon(rpc, rest) { return false }
    return completeBareName(rpc, rest, first: first)
  }

  private mutating func completeSchemeWithColon(_ rpc: String, _ rest: ArraySlice<UInt8>) -> Bool {
    guard let colon = rest.firstIndex(of: UInt8(ascii: ":")) else { return false }
    let place = rest[(colon + 1)...]
    guard let first = place.first else { return false }
    switch text(rest[..<colon]).lowercased() {
    case "unix-abstract":
      replace(with: rpc + "unix://@", place)
      note(.abstractScheme, "\"unix-abstract:\" was read as \"unix://@\"")
    case "unix":
      let isComplete = first == UInt8(ascii: "/") || first == UInt8(ascii: "@")
      replace(with: rpc + "unix://" + (isComplete ? "" : "/"), place)
      note(.missingSlashes, "\"unix:\" was read as \"unix://\" and an absolute path")
    case let scheme where ["vsock", "hvsock", "tcp", "tls", "fd", "memory"].contains(scheme):
      replace(with: rpc + scheme + "://", place)
      note(.missingSlashes, "\"\(scheme):\" was read as \"\(scheme)://\"")
    default: return false
    }
    return true
  }

  private mutating func completeBareName(
    _ rpc: String, _ rest: ArraySlice<UInt8>, first: UInt8
  ) -> Bool {
    if rpc == "ttrpc+" {
      let name = first == UInt8(ascii: "@") ? rest.dropFirst() : rest
      replace(with: "ttrpc+unix://@", encoded(name))
      note(
        .bareName,
        "a bare name after \"ttrpc+\" was read as the name of an abstract socket, as containerd "
          + "does; write unix:// before a path")
    } else if first == UInt8(ascii: "/") {
      replace(with: rpc + "unix://", encoded(rest))
      note(.barePath, "a bare path was read as \"unix://\" and the path")
    } else if first == UInt8(ascii: "@") {
      replace(with: rpc + "unix://", encoded(rest))
      note(.bareName, "\"@\" and a name were read as an abstract unix socket")
    } else {
      return false
    }
    return true
  }

  // MARK: With "://"

  private mutating func lowerCaseScheme() {
    guard let separator else { return }
    let scheme = text(bytes[..<separator])
    let lower = scheme.lowercased()
    guard lower != scheme else { return }
    replace(with: lower, bytes[separator...])
    note(.upperCaseName, "\(quoted(scheme)) was read as \(quoted(lower))")
  }

  private mutating func addThirdSlash() {
    guard let (transport, place) = divided, let first = place.first else { return }
    guard transport == "unix" || transport == "hvsock", first != UInt8(ascii: "/"),
      first != UInt8(ascii: "?"), first != UInt8(ascii: "@") || transport == "hvsock"
    else { return }
    replace(with: text(bytes[..<place.startIndex]) + "/", place)
    note(.twoSlashPath, "the path after two slashes was read as an absolute one")
  }

  private mutating func removeTrailingSlash() {
    guard let (transport, place) = divided else { return }
    guard ["vsock", "hvsock", "tcp", "tls", "fd"].contains(transport) else { return }
    let end = place.firstIndex(of: UInt8(ascii: "?")) ?? place.endIndex
    let authority = place[..<end]
    guard authority.last == UInt8(ascii: "/"), authority.count > 1 else { return }
    replace(with: text(bytes[..<(end - 1)]), bytes[end...])
    note(.strayTrailingSlash, "the \"/\" after the port was removed")
  }

  private mutating func removeEmptyParameters() {
    guard let question = bytes.firstIndex(of: UInt8(ascii: "?")), question == bytes.endIndex - 1
    else { return }
    bytes = bytes[..<question]
    note(.emptyParameters, "the \"?\" without parameters was removed")
  }

  private mutating func encodePercents() {
    var result: [UInt8] = []
    for index in bytes.indices {
      result.append(bytes[index])
      guard bytes[index] == UInt8(ascii: "%") else { continue }
      let digits = bytes[(index + 1)...].prefix(2)
      let isEncoding = digits.count == 2 && digits.allSatisfy { PercentCoding.value($0) != nil }
      if !isEncoding { result += "25".utf8 }
    }
    guard result.count != bytes.count else { return }
    bytes = result[...]
    note(.barePercent, "a \"%\" that encodes nothing was read as itself")
  }

  // MARK: Bytes

  /// Where `://` begins.
  private var separator: Int? {
    bytes.indices.first { bytes[$0...].starts(with: "://".utf8) }
  }

  /// The innermost transport's name, and what follows `://`.
  private var divided: (transport: String, place: ArraySlice<UInt8>)? {
    guard let separator,
      let last = bytes[..<separator].split(separator: UInt8(ascii: "+")).last
    else { return nil }
    return (text(last), bytes[(separator + 3)...])
  }

  private func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

  private func encoded(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    ArraySlice(PercentCoding.encode(text(bytes), reserved: .path).utf8)
  }

  private mutating func replace(with start: String, _ rest: ArraySlice<UInt8>) {
    bytes = ArraySlice(start.utf8) + rest
  }
}
