/// The form that containerd keeps in `bootstrap.json` and that shims reply: protocol and address as
/// two strings.
extension TransportAddress {
  /// Reads what a shim replied, by the rules of containerd's `pkg/shim` (`AnonDialer`,
  /// `grpcDialContext`), which take what follows the scheme verbatim: no parameters, and nothing
  /// is percent-encoded.
  ///
  /// | address | ttrpc | grpc |
  /// |---|---|---|
  /// | without `://` | the whole of it is an abstract socket's name, also `/run/a.sock` | a path |
  /// | `unix://P` | the path P; from `@` on, an abstract name | the same |
  /// | `vsock://CID:PORT`, `hvsock://PATH:PORT` | the same | the same |
  ///
  /// containerd itself cannot dial `grpc` with a scheme; here it means what it says. Any other
  /// address is read by ``init(parsing:origin:customTransports:)``.
  ///
  /// - Throws: ``TransportError``, as ``init(parsing:origin:customTransports:)`` does. Two slashes
  ///   before a relative path are an error here, too: containerd would dial a path relative to its
  ///   own working directory.
  public init(
    protocolName: String, shimAddress: String, origin: Origin = .received
  ) throws(TransportError) {
    guard let rpc = RPCProtocol(rawValue: protocolName.lowercased()) else {
      throw Self.unknownProtocol(protocolName)
    }
    if let place = try Self.verbatimPlace(rpc: rpc, shimAddress) {
      self.init(rpc: rpc, place: place)
      try restrict(to: origin)
      return
    }
    let address = try TransportAddress(parsing: shimAddress, origin: origin)
    guard address.rpc == nil else {
      throw TransportError(
        code: .invalidAddress,
        message: "\(quoted(shimAddress)) is not a shim's address: it names a protocol, which is "
          + "given apart from the address",
        position: 0, hint: "leave out \"\(address.rpc?.rawValue ?? "")+\"")
    }
    self = address
    self.rpc = rpc
  }

  /// The address without its protocol, as containerd writes it in `bootstrap.json`: verbatim for
  /// unix, vsock and hvsock. containerd has no place for parameters there, so theirs are left out.
  /// All others, which containerd does not know, are in the canonical form.
  public var shimAddress: String {
    if layers.isEmpty {
      switch place {
      case .unix(let path): return "unix://" + path
      case .abstract(let name): return "unix://@" + name
      case .vsock(let cid, let port): return "vsock://" + (cid.map { "\($0)" } ?? "-1") + ":\(port)"
      case .hybridVsock(let path, let port): return "hvsock://\(path):\(port)"
      case .tcp, .descriptor, .memory, .exec, .other: break
      }
    }
    var copy = self
    copy.rpc = nil
    return copy.text
  }

  private static func unknownProtocol(_ name: String) -> TransportError {
    let guess = Likeness.closest(to: name, among: AddressNames.protocols)
    return TransportError(
      code: .invalidAddress,
      message: "\(quoted(name)) is not a protocol: expected ttrpc or grpc",
      position: 0, hint: guess.map { "did you mean \"\($0)\"?" })
  }

  /// nil when the address is none of containerd's forms.
  private static func verbatimPlace(
    rpc: RPCProtocol, _ text: String
  ) throws(TransportError) -> Place? {
    guard text.utf8.count <= AddressLimits.text else {
      throw AddressFault(.tooLong, at: AddressLimits.text).error(in: text)
    }
    if let zero = text.utf8.firstIndex(of: 0) {
      let position = text.utf8.distance(from: text.utf8.startIndex, to: zero)
      throw AddressFault(.nul, position..<position + 1).error(in: text)
    }
    guard let (scheme, place) = divided(text) else { return try bare(rpc: rpc, text) }
    // The grammar's own parser, given the place with what it would decode encoded.
    let reserved: PercentCoding.Reserved
    switch scheme {
    case "unix", "hvsock", "vsock": reserved = .path
    default: return nil
    }
    let encoded = "\(scheme)://" + PercentCoding.encode(place, reserved: reserved)
    return try TransportAddress(parsing: encoded).place
  }

  private static func divided(_ text: String) -> (scheme: Substring, place: String)? {
    let bytes = text.utf8
    guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else { return nil }
    let rest = text[colon...]
    guard rest.utf8.starts(with: "://".utf8) else {
      // `://` may still come later, behind a colon of a name: then it is no scheme of containerd's
      // either, and the strict parser tells what is wrong.
      return containsSeparator(rest) ? (text[..<colon], "") : nil
    }
    return (text[..<colon], String(text[bytes.index(colon, offsetBy: 3)...]))
  }

  private static func containsSeparator(_ text: Substring) -> Bool {
    var rest = text.utf8[...]
    while let colon = rest.firstIndex(of: UInt8(ascii: ":")) {
      if rest[colon...].starts(with: "://".utf8) { return true }
      rest = rest[rest.index(after: colon)...]
    }
    return false
  }

  /// An address without `://`.
  private static func bare(rpc: RPCProtocol, _ text: String) throws(TransportError) -> Place {
    guard !text.isEmpty else { throw AddressFault(.empty, at: 0).error(in: text) }
    switch rpc {
    case .ttrpc:
      guard text.utf8.count <= AddressLimits.abstractName else {
        throw AddressFault(.abstractNameTooLong, 0..<text.utf8.count).error(in: text)
      }
      return .abstract(name: text)
    case .grpc:
      let encoded = "unix://" + PercentCoding.encode(text, reserved: .path)
      return try TransportAddress(parsing: encoded).place
    }
  }
}
