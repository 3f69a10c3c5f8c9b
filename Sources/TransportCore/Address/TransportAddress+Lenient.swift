extension TransportAddress {
  /// A departure from the grammar that ``parseLenient(_:origin:customTransports:)`` put right.
  public struct Correction: Sendable, Hashable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable, CaseIterable {
      /// White space around the address.
      case outerWhitespace
      /// Capitals in the protocol or a transport: containerd takes `TTRPC`.
      case upperCaseName
      /// `unix://run/x.sock`, as containerd's own comments write it: the path begins after two
      /// slashes and would be relative.
      case twoSlashPath
      /// `unix:/run/x.sock`, `unix:run/x`, `vsock:3:1024`, as gRPC names them.
      case missingSlashes
      /// `unix-abstract:name`, as gRPC names it.
      case abstractScheme
      /// `/run/x.sock` or `grpc+/run/x.sock`: a path alone, the only form in which containerd can
      /// dial gRPC.
      case barePath
      /// `ttrpc+name` or `@name`: a name alone. With ttrpc it is an abstract socket for containerd
      /// also when it looks like a path.
      case bareName
      /// `vsock://3:1024/`, as containerd's stream opener rebuilds it.
      case strayTrailingSlash
      /// A `?` without parameters.
      case emptyParameters
      /// A `%` that encodes nothing.
      case barePercent
    }

    public var kind: Kind
    /// What was corrected, and into what.
    public var description: String
  }

  /// Reads an address as ``init(parsing:origin:customTransports:)`` does, and puts right the sloppy
  /// forms that containerd, its users and other software write. What is of the strict grammar means
  /// the same here.
  ///
  /// A bare path after `grpc+` or alone is a file's; after `ttrpc+` it is the name of an abstract
  /// socket, since that is what containerd dials.
  ///
  /// - Returns: the address, and what had to be corrected, for a warning. Nothing, when the text
  ///   was of the strict grammar.
  /// - Throws: ``TransportError``; its position counts in the text that its message quotes.
  public static func parseLenient(
    _ text: String, origin: Origin = .configured, customTransports: Set<String> = []
  ) throws(TransportError) -> (address: TransportAddress, corrections: [Correction]) {
    if let address = try? AddressParser(text, customTransports: customTransports).parse() {
      // Only the fault is dropped: the corrected text is parsed again below, and fails for itself.
      var address = address
      try address.restrict(to: origin)
      return (address, [])
    }
    guard text.utf8.count <= AddressLimits.text else {
      throw AddressFault(.tooLong, at: AddressLimits.text).error(in: text)
    }
    var corrector = AddressCorrector(text)
    let corrected = corrector.run()
    let address = try TransportAddress(
      parsing: corrected, origin: origin, customTransports: customTransports)
    return (address, corrector.corrections)
  }
}
