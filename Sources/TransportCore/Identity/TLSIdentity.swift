/// What a TLS handshake established of the peer, in no TLS library's terms.
public struct TLSIdentity: Sendable, Hashable {
  public enum Version: String, Sendable, Hashable, Comparable, CaseIterable {
    case tls12 = "1.2"
    case tls13 = "1.3"

    public static func < (left: Version, right: Version) -> Bool { left.rawValue < right.rawValue }
  }

  /// A certificate of the chain, for people and for policies.
  public struct Certificate: Sendable, Hashable {
    /// DER.
    public var bytes: [UInt8]
    /// Distinguished names, in the form of RFC 2253.
    public var subject: String
    public var issuer: String
    /// Seconds since 1970.
    public var notBefore: Int64
    /// Seconds since 1970.
    public var notAfter: Int64

    public init(
      bytes: [UInt8], subject: String, issuer: String, notBefore: Int64, notAfter: Int64
    ) {
      self.bytes = bytes
      self.subject = subject
      self.issuer = issuer
      self.notBefore = notBefore
      self.notAfter = notAfter
    }
  }

  public var version: Version
  /// The cipher suite's standard name, such as `TLS_AES_128_GCM_SHA256`.
  public var cipher: String
  /// The application protocol that was agreed on, such as `h2`.
  public var alpn: String?
  /// The chain as the peer sent it, its own certificate first. Empty when it sent none.
  public var chain: [Certificate]
  /// Whether the chain was verified. Without it, names are claims.
  public var isVerified: Bool
  /// Whether an earlier session was resumed.
  public var isResumed: Bool
  /// The names in the peer's own certificate (subjectAltName).
  public var dnsNames: [String]
  /// IP literals.
  public var ipAddresses: [String]
  public var uris: [String]

  public init(
    version: Version, cipher: String, alpn: String? = nil, chain: [Certificate] = [],
    isVerified: Bool = false, isResumed: Bool = false, dnsNames: [String] = [],
    ipAddresses: [String] = [], uris: [String] = []
  ) {
    self.version = version
    self.cipher = cipher
    self.alpn = alpn
    self.chain = chain
    self.isVerified = isVerified
    self.isResumed = isResumed
    self.dnsNames = dnsNames
    self.ipAddresses = ipAddresses
    self.uris = uris
  }

  /// The SPIFFE ID of a verified peer: the one URI of its certificate, if it is one.
  public var spiffeID: String? {
    guard isVerified, uris.count == 1, uris[0].hasPrefix("spiffe://") else { return nil }
    return uris[0]
  }
}

extension TLSIdentity: CustomStringConvertible {
  public var description: String {
    guard let first = chain.first else { return "TLS \(version.rawValue), no certificate" }
    let names = uris + dnsNames + ipAddresses
    let name = names.isEmpty ? first.subject : names.joined(separator: ", ")
    return "TLS \(version.rawValue), \(isVerified ? "" : "unverified ")\(name)"
  }
}
