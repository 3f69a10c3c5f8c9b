/// The parts of a faulty text that messages speak of.
struct AddressWords {
  let bytes: [UInt8]
  let range: Range<Int>
  let customTransports: Set<String>

  func text(_ range: Range<Int>) -> String {
    String(decoding: bytes[range.clamped(to: 0..<bytes.count)], as: UTF8.self)
  }

  /// What is at fault, of a length that a sentence bears.
  var faulty: String { text(range.lowerBound..<min(range.upperBound, range.lowerBound + 64)) }
  var before: String { text(0..<range.lowerBound) }
  var after: String { text(range.upperBound..<bytes.count) }

  var names: [String] { AddressNames.all + customTransports.sorted() }
  var knownNames: String {
    customTransports.isEmpty ? AddressNames.list : names.joined(separator: ", ")
  }

  /// The transport whose place is at fault.
  var transport: String {
    let scheme = bytes.prefix { $0 != UInt8(ascii: ":") }
    guard let last = scheme.split(separator: UInt8(ascii: "+")).last else { return "" }
    return String(decoding: last, as: UTF8.self)
  }

  var expectedPlace: String {
    switch transport {
    case "unix": "a path, or \"@\" and an abstract socket's name"
    case "vsock": "cid:port"
    case "hvsock": "path:port"
    case "tcp", "tls": "host:port"
    case "memory": "a name"
    default: "one"
    }
  }
}

/// What was probably meant, as a proposal that can be copied where that is possible. Parameters
/// are left out of proposals: they may be secret.
struct AddressHint {
  let kind: AddressFault.Kind
  let words: AddressWords

  var text: String? {
    switch kind {
    case .outerWhitespace: "remove it; white space in a path is written %20 at its ends"
    case .controlByte(let byte):
      "in a path, write it as %\(byte < 16 ? "0" : "")"
        + String(byte, radix: 16, uppercase: true)
    case .percentWithoutDigits: "write a \"%\" of the name itself as %25"
    case .noPlace: withoutPlace
    case .nothingBeforePlus: "did you mean \(proposal("ttrpc", words.after))?"
    case .nothingAfterPlus: "remove the \"+\", or name the transport, such as unix"
    case .upperCase: lowerCased
    case .schemeByte: schemeByte
    case .unknownName: unknownName
    case .protocolAlone: protocolAlone
    case .protocolMisplaced: "write it first, such as ttrpc+unix:///run/pod.sock"
    case .notALayer: "layers come outermost first, such as tls+vsock://3:1024"
    case .relativePath: relativePath
    case .portMissing where words.transport == "vsock":
      "a vsock address is cid:port, such as vsock://3:1024"
    case .portMissing where words.transport == "hvsock":
      "did you mean \(proposal(words.before, ":1024"))?"
    case .portMissing: "name the port, such as \(proposal(words.before, ":9443"))"
    case .notANumber(.vsockPort) where words.faulty.hasSuffix("/"),
      .textAfterPort where words.after.isEmpty && words.faulty == "/":
      "did you mean \(proposal(words.before, String(words.faulty.dropLast())))?"
    case .notANumber(.cid) where words.faulty.isEmpty: "write \"any\" for every context id"
    case .emptyHost: "to listen on every interface, write [::] or 0.0.0.0"
    case .bareIPv6: bareIPv6
    case .userInfo: "leave the user out: who connects is told by certificates"
    case .commandOutsideParameters, .noCommand:
      "write the command as exec://?arg=/usr/bin/program&arg=its&arg=arguments"
    case .abstractNameTooLong: "the kernel takes no longer one; choose a shorter name"
    default: nil
    }
  }

  private func proposal(_ parts: String...) -> String {
    let text = parts.joined()
    let end = text.firstIndex(of: "?") ?? text.endIndex
    return Redaction.withoutPassword(String(text[..<end].prefix(200)))
  }

  private var relativePath: String {
    let path = words.text(words.range)
    return "did you mean \(proposal(words.before, "/", path, words.after)) (three slashes)?"
  }

  private var lowerCased: String {
    let parts = words.text(0..<words.bytes.count)
    guard let separator = parts.firstIndex(of: ":") else { return "write it in lower case" }
    return
      "did you mean \(proposal(parts[..<separator].lowercased(), String(parts[separator...])))?"
  }

  private var bareIPv6: String? {
    let place = words.text(words.range)
    guard let colon = place.lastIndex(of: ":") else { return nil }
    return "did you mean " + proposal(words.before, "[", String(place[..<colon]), "]")
      + proposal(String(place[colon...])) + "?"
  }

  private var protocolAlone: String? {
    if words.after.hasPrefix(":///") {
      return "did you mean \(proposal(words.faulty, "+unix", words.after))?"
    }
    return "did you mean \(words.faulty)+unix or \(words.faulty)+vsock?"
  }

  private var schemeByte: String? {
    words.bytes.first == UInt8(ascii: "/")
      ? "did you mean \(proposal("unix://", words.text(0..<words.bytes.count)))?" : nil
  }

  private var unknownName: String? {
    switch words.faulty {
    case "http", "https": "HTTP is not spoken here; gRPC over TCP is grpc+tcp or grpc+tls"
    case "npipe": "named pipes exist on Windows only; use unix"
    case "ssh": "run ssh as the transport: exec://?arg=ssh&arg=host&arg=…"
    case "remote", "ipc", "file", "unix-path":
      "did you mean \(proposal(words.before, "unix", words.after))?"
    case "unix-abstract", "abstract": "an abstract socket is written unix://@name"
    case "hybrid-vsock", "vsock-mux":
      "did you mean \(proposal(words.before, "hvsock", words.after))?"
    default:
      Likeness.closest(to: words.faulty, among: words.names)
        .map { "did you mean \(proposal(words.before, $0, words.after))?" }
    }
  }

  /// The spellings that do without `://`, each with ours.
  private var withoutPlace: String? {
    let text = words.text(0..<words.bytes.count)
    if text.hasPrefix("/") { return "did you mean \(proposal("unix://", text))?" }
    if text.hasPrefix("@") { return "did you mean \(proposal("unix://", text))?" }
    if text.hasPrefix("\\\\") { return "named pipes exist on Windows only; use unix" }
    for name in AddressNames.protocols where text.hasPrefix(name + "+") {
      let rest = String(text.dropFirst(name.count + 1))
      if rest.isEmpty { return "name the transport and the place, such as \(name)+unix:///run/x" }
      if rest.hasPrefix("/") { return "did you mean \(proposal(name, "+unix://", rest))?" }
    }
    guard let colon = text.firstIndex(of: ":") else { return nil }
    let scheme = String(text[..<colon])
    let rest = String(text[text.index(after: colon)...])
    switch scheme.split(separator: "+").last.map(String.init) {
    case "unix-abstract": return "did you mean \(proposal("unix://@", rest))?"
    case "unix", "hvsock":
      let path = String(rest.drop { $0 == "/" })
      return "did you mean \(proposal(scheme, ":///", path)) (three slashes)?"
    case "vsock", "tcp", "tls", "fd", "memory":
      return "did you mean \(proposal(scheme, "://", String(rest.drop { $0 == "/" })))?"
    default: return nil
    }
  }
}
