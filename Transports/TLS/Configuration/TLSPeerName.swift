/// A name that a peer's certificate may have. Only names of the subjectAltName extension count, never
/// the common name (RFC 9525).
public enum TLSPeerName: Sendable, Hashable {
  /// A DNS name; a certificate's wildcard stands for one whole label (RFC 9525, 6.3).
  case dns(String)
  /// An IPv4 or IPv6 literal, without brackets.
  case ip(String)
  /// A URI, byte for byte, such as a SPIFFE ID.
  case uri(String)
  /// Any SPIFFE ID of this trust domain, such as `example.org`. The certificate must have exactly one
  /// URI (SPIFFE X.509-SVID, 2).
  case trustDomain(String)

  /// A host as an address names it: a literal or a name.
  public init(host: String) {
    self = IPLiteral.bytes(host) == nil ? .dns(host) : .ip(host)
  }
}

extension TLSPeerName: CustomStringConvertible {
  public var description: String {
    switch self {
    case .dns(let name), .ip(let name), .uri(let name): name
    case .trustDomain(let domain): "any of spiffe://\(domain)/"
    }
  }
}
