public import TransportCore

/// How TLS is spoken, by either side.
///
/// As it is made it is closed: a client verifies the server by the system's CAs and the address's
/// host, and a listener lets in only clients whose certificate its CA signed.
public struct TLSConfiguration: Sendable, Hashable {
  public enum Verification: String, Sendable, Hashable {
    /// The peer's certificate must be signed by a known CA, be valid now, and have one of the names.
    case full
    /// Anybody may be at the other end. Bytes are encrypted, but to whom, nobody knows.
    case none
  }

  /// What a listener wants of clients.
  public enum ClientCertificates: String, Sendable, Hashable {
    case required
    /// One that is shown must be good.
    case optional
    case none
  }

  /// The CAs that peers' certificates are verified by. `nil`: the system's, for clients; a listener
  /// that asks for certificates has to have its own.
  public var authority: TLSMaterial?
  /// This side's certificate, and those up to its CA behind it.
  public var certificate: TLSMaterial?
  /// The private key of ``certificate``.
  public var key: TLSMaterial?
  public var passphrase: TLSPassphrase?
  public var minimumVersion: TLSIdentity.Version
  public var maximumVersion: TLSIdentity.Version
  /// Cipher suites by OpenSSL's names, the best first: `TLS_…` are TLS 1.3's, others TLS 1.2's. Of a
  /// version without any, and when empty: those with forward secrecy and AEAD, the one that this CPU
  /// is fastest at first.
  public var suites: [String]
  /// What a client tells the server that it wants to reach (SNI). `nil`: the address's host, when it
  /// is a name.
  public var serverName: String?
  /// The peer's certificate must have one of these names. Empty: a client expects ``serverName`` or
  /// the address's host, a listener whomever its CA signed.
  public var peerNames: [TLSPeerName]
  /// Application protocols (ALPN), the best first. Empty: none is spoken of, or `h2` when the address
  /// says `grpc`.
  public var applicationProtocols: [String]
  /// Whether a peer that agrees on none of ``applicationProtocols`` is hung up on.
  public var requiresApplicationProtocol: Bool
  public var verification: Verification
  /// Listeners only.
  public var clientCertificates: ClientCertificates
  /// Whether later connections may skip most of the handshake. A resumed session is as verified as
  /// the one it comes from, and is checked again for its names and dates.
  public var resumesSessions: Bool
  /// A file that every connection's secrets are appended to, with which Wireshark decrypts them. For
  /// debugging, and never set by an address or a profile.
  public var keyLogFile: String?

  public init() {
    minimumVersion = .tls12
    maximumVersion = .tls13
    suites = []
    peerNames = []
    applicationProtocols = []
    requiresApplicationProtocol = false
    verification = .full
    clientCertificates = .required
    resumesSessions = true
  }

  /// A configuration with some of it set: `TLSConfiguration { $0.authority = .file("ca.pem") }`.
  public init(_ set: (inout TLSConfiguration) -> Void) {
    self.init()
    set(&self)
  }
}

/// Which end of a connection.
enum TLSRole: Sendable, Hashable {
  case client, server
}
