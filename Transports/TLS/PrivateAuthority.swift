internal import COpenSSL

#if canImport(Glibc)
  internal import Glibc
#endif

/// A CA of one's own, for tests and for trying mTLS out: it makes itself and certificates in memory.
///
/// Keys are ECDSA P-256. It keeps no list of what it issued and revokes nothing: for production there
/// are CAs that do.
public final class PrivateAuthority: Sendable {
  /// What a certificate may be used for.
  public enum Usage: Sendable, Hashable, CaseIterable {
    case server, client
    /// For one that dials and listens.
    case both
  }

  /// A certificate with its private key, both PEM.
  public struct Pair: Sendable {
    public var certificate: [UInt8]
    /// PKCS #8, not encrypted.
    public var key: [UInt8]
  }

  /// When a certificate is valid, as seconds from now.
  public struct Validity: Sendable, Hashable {
    public var from: Int64
    public var until: Int64

    public init(from: Int64, until: Int64) {
      self.from = from
      self.until = until
    }

    /// From five minutes ago, since clocks differ.
    public static func days(_ count: Int64) -> Validity {
      Validity(from: -300, until: count * 86400)
    }
  }

  /// The CA's own certificate, PEM.
  public let certificate: [UInt8]
  private let handle: X509Handle
  private let key: PrivateKeyHandle

  /// - Throws: ``TLSError`` when OpenSSL cannot make it.
  public init(
    commonName: String = "hawsepipe private CA", validity: Validity = .days(3650)
  ) throws(TLSError) {
    ERR_clear_error()
    key = try Self.makeKey()
    handle = try CertificateBuilder(subject: commonName, key: key, validity: validity)
      .finish(
        extensions: [
          (NID_basic_constraints, "critical,CA:TRUE,pathlen:0"),
          (NID_key_usage, "critical,keyCertSign,cRLSign"),
          (NID_subject_key_identifier, "hash"),
        ], issuer: nil, signer: key)
    certificate = try PEMWriter.certificate(handle)
  }

  /// Makes a key and a certificate for it.
  ///
  /// - Parameter names: what peers may expect: DNS names, IP literals, URIs. A trust domain is no name
  ///   of its own: give a URI in it.
  /// - Throws: ``TLSError`` when a name is not one, or OpenSSL cannot make it.
  public func issue(
    _ usage: Usage, names: [TLSPeerName], commonName: String = "hawsepipe",
    validity: Validity = .days(365)
  ) throws(TLSError) -> Pair {
    ERR_clear_error()
    let key = try Self.makeKey()
    var extensions = [
      (NID_basic_constraints, "critical,CA:FALSE"),
      (NID_key_usage, "critical,digitalSignature"),
      (NID_ext_key_usage, usage.purposes),
      (NID_subject_key_identifier, "hash"),
      (NID_authority_key_identifier, "keyid"),
    ]
    if !names.isEmpty {
      var list: [String] = []
      for name in names { list.append(try name.entry()) }
      extensions.append((NID_subject_alt_name, list.joined(separator: ",")))
    }
    let certificate = try CertificateBuilder(
      subject: commonName, key: key, validity: validity
    ).finish(extensions: extensions, issuer: handle, signer: self.key)
    return Pair(
      certificate: try PEMWriter.certificate(certificate), key: try PEMWriter.privateKey(key))
  }

  private static func makeKey() throws(TLSError) -> PrivateKeyHandle {
    guard let key = hp_new_p256_key() else { throw TLSFault.takeAll().error("cannot make a key") }
    return PrivateKeyHandle(owning: key)
  }
}

extension PrivateAuthority.Pair: CustomStringConvertible, CustomReflectable {
  /// Without the key, which no log should have.
  public var description: String { "a certificate with its key" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}

extension PrivateAuthority.Usage {
  fileprivate var purposes: String {
    switch self {
    case .server: "serverAuth"
    case .client: "clientAuth"
    case .both: "serverAuth,clientAuth"
    }
  }
}

extension TLSPeerName {
  /// As OpenSSL's configuration language has it.
  fileprivate func entry() throws(TLSError) -> String {
    let (kind, text) =
      switch self {
      case .dns(let name): ("DNS", name)
      case .ip(let name): ("IP", name)
      case .uri(let uri): ("URI", uri)
      case .trustDomain(let domain): ("", domain)
      }
    // A comma would begin another name.
    guard !kind.isEmpty, !text.isEmpty,
      text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ",") })
    else { throw TLSError(.configuration, "\"\(text)\" cannot be a certificate's name") }
    return "\(kind):\(text)"
  }
}
