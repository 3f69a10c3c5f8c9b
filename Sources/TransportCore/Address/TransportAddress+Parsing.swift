extension TransportAddress {
  /// Reads an address of the strict grammar.
  ///
  /// Accepted byte for byte is every form that containerd documents or emits with a place after
  /// `://` (`ttrpc+unix:///run/x.sock`, `unix://@name`, `ttrpc+hvsock:///run/vm.vsock:1024`,
  /// `grpc+vsock://3:1024`, `…?streaming_id=x`). What it tolerates beyond that — two slashes, a bare
  /// path or name, capitals, a `/` after a port — is for
  /// ``parseLenient(_:origin:customTransports:)``. A `%` in a path is written `%25` and a `?` `%3F`;
  /// ``init(protocolName:shimAddress:origin:)`` reads the verbatim form of shims instead.
  ///
  /// - Parameters:
  ///   - origin: where the text came from; ``Origin/received`` allows less.
  ///   - customTransports: names of further transports, whose places are kept verbatim.
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/invalidAddress`` and the
  ///   position, or ``TransportError/Code-swift.enum/forbiddenAddress``.
  public init(
    parsing text: String, origin: Origin = .configured, customTransports: Set<String> = []
  ) throws(TransportError) {
    do throws(AddressFault) {
      self = try AddressParser(text, customTransports: customTransports).parse()
    } catch {
      throw error.error(in: text, customTransports: customTransports)
    }
    try restrict(to: origin)
  }
}
