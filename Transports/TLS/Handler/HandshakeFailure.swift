internal import COpenSSL
internal import NIOCore
internal import TransportCore

/// Says what it means that OpenSSL gave up.
struct HandshakeFailure {
  private let role: TLSRole
  private let fault: TLSFault
  private let problem: CertificateProblem?
  private let expected: [TLSPeerName]
  private let configuration: TLSConfiguration
  private let wasAskedForCertificate: Bool

  init(_ engine: TLSEngine, _ fault: TLSFault) {
    role = engine.context.role
    self.fault = fault
    problem = engine.certificateProblem
    expected = engine.expected
    configuration = engine.context.configuration
    wasAskedForCertificate = engine.wasAskedForCertificate
  }

  private var peer: String { role == .client ? "the server" : "the client" }

  /// In the handshake.
  var error: TLSError {
    if let problem { return problem.error(of: role, expecting: expected) }
    if let alert = fault.receivedAlert { return alertError(alert) }
    if fault.has(SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
      return TLSError(
        .certificateRefused, "the client showed no certificate",
        hint: "clients need cert= and key= of a CA that the listener knows")
    }
    if fault.has(SSL_R_NO_SHARED_CIPHER) {
      return TLSError(.nothingInCommon, "\(peer) has no cipher suite that is allowed here")
    }
    if fault.has(SSL_R_UNSUPPORTED_PROTOCOL) || fault.has(SSL_R_WRONG_SSL_VERSION) {
      return TLSError(
        .nothingInCommon,
        "\(peer) speaks no TLS version from \(configuration.minimumVersion.rawValue) to "
          + configuration.maximumVersion.rawValue)
    }
    if fault.has(SSL_R_NO_APPLICATION_PROTOCOL) || fault.has(SSL_R_CALLBACK_FAILED) {
      return .noApplicationProtocol(configuration.applicationProtocols)
    }
    if fault.has(SSL_R_WRONG_VERSION_NUMBER) || fault.has(SSL_R_HTTP_REQUEST)
      || fault.has(SSL_R_PACKET_LENGTH_TOO_LONG) || fault.has(SSL_R_HTTPS_PROXY_REQUEST)
    {
      return TLSError(
        .protocolViolated, "what \(peer) sends is not TLS",
        hint: "it may speak without TLS: then leave out tls+")
    }
    return TLSError(.protocolViolated, "the TLS handshake with \(peer) failed: \(fault.text)")
  }

  /// After it. A TLS 1.3 server refuses a client's certificate only here.
  var later: TLSError {
    if let alert = fault.receivedAlert { return alertError(alert) }
    return TLSError(
      .protocolViolated, "what came from \(peer) is no TLS record of this connection: \(fault.text)"
    )
  }

  private func alertError(_ alert: Int32) -> TLSError {
    let own = role == .client ? "this client's" : "this server's"
    var (code, text, hint): (TLSError.Code, String, String?) = (.refusedByPeer, "", nil)
    switch alert {
    case SSL_AD_CERTIFICATE_REQUIRED:
      text = "\(peer) wants a client certificate"
      hint = "give one with cert= and key="
    case SSL_AD_UNKNOWN_CA:
      text = "\(peer) does not know the CA that signed \(own) certificate"
    case SSL_AD_CERTIFICATE_EXPIRED: text = "\(peer) says that \(own) certificate expired"
    case SSL_AD_CERTIFICATE_REVOKED: text = "\(peer) says that \(own) certificate was revoked"
    case SSL_AD_BAD_CERTIFICATE, SSL_AD_CERTIFICATE_UNKNOWN, SSL_AD_UNSUPPORTED_CERTIFICATE,
      SSL_AD_ACCESS_DENIED, SSL_AD_DECRYPT_ERROR:
      text = "\(peer) refuses \(own) certificate"
    case SSL_AD_PROTOCOL_VERSION:
      code = .nothingInCommon
      text =
        "\(peer) speaks no TLS version from \(configuration.minimumVersion.rawValue) to "
        + configuration.maximumVersion.rawValue
    case SSL_AD_NO_APPLICATION_PROTOCOL:
      code = .nothingInCommon
      let own = configuration.applicationProtocols
      text =
        own.isEmpty
        ? "\(peer) wants an application protocol (ALPN), and none is offered"
        : "\(peer) speaks none of the application protocols \(own.joined(separator: ", "))"
      hint = "name one that it speaks with alpn="
    case SSL_AD_UNRECOGNIZED_NAME:
      text = "\(peer) does not know the server name that it was asked for"
    case SSL_AD_HANDSHAKE_FAILURE where wasAskedForCertificate && configuration.certificate == nil:
      text = "\(peer) wants a client certificate"
      hint = "give one with cert= and key="
    case SSL_AD_HANDSHAKE_FAILURE:
      code = .nothingInCommon
      text = "\(peer) found nothing in common with this side"
      hint = "versions and cipher suites of both have to overlap"
    default: text = "\(peer) ended the connection"
    }
    return TLSError(
      code, "\(text) (TLS alert \(alert), \(alertName(alert)))", hint: hint,
      alert: UInt8(truncatingIfNeeded: alert))
  }
}

/// OpenSSL's name of an alert, and one that OpenSSL 3.0 does not know (RFC 8446, 6).
private func alertName(_ alert: Int32) -> String {
  if alert == SSL_AD_CERTIFICATE_REQUIRED { return "certificate required" }
  return SSL_alert_desc_string_long(alert).map { String(cString: $0) } ?? "unknown"
}

extension TLSError {
  static let truncated = TLSError(
    .truncated,
    "the connection was cut: the peer did not say that it was done (close_notify), "
      + "so the last bytes may be missing")

  static let hungUpOnCertificate = TLSError(
    .refusedByPeer, "the server hung up right after it saw this client's certificate",
    hint: "it may not accept that certificate; its log says why")

  static func closedInHandshake(_ role: TLSRole, _ cause: (any Error)? = nil) -> TLSError {
    let peer = role == .client ? "the server" : "the client"
    let why = cause.map { ": \($0)" } ?? ""
    return TLSError(.closedInHandshake, "\(peer) hung up during the TLS handshake\(why)")
  }

  static func handshakeTookTooLong(_ role: TLSRole, _ limit: TimeAmount) -> TLSError {
    let peer = role == .client ? "the server" : "the client"
    return TLSError(
      .timedOut,
      "\(peer) was not through with the TLS handshake within \(limit.nanoseconds / 1_000_000) ms")
  }

  static func noApplicationProtocol(_ wanted: [String]) -> TLSError {
    TLSError(
      .nothingInCommon,
      "the peer agreed on none of the application protocols \(wanted.joined(separator: ", "))")
  }

  static func tooMuchBeforeHandshake(_ limit: Int) -> TLSError {
    TLSError(
      .libraryFailed, "there were more than \(limit) bytes before the TLS handshake was through")
  }
}
