internal import COpenSSL

/// What is wrong with a peer's certificate.
enum CertificateProblem: Sendable {
  /// What the chain's verification found, at a certificate of it.
  case chain(
    code: Int32, depth: Int32, subject: String, issuer: String, notBefore: Int64, notAfter: Int64)
  case wrongName(CertificateNames, subject: String)
  /// It ran out after the session that is resumed began.
  case expiredSince(Int64)

  static func chain(_ store: OpaquePointer) -> CertificateProblem {
    let current = X509_STORE_CTX_get_current_cert(store) ?? X509_STORE_CTX_get0_cert(store)
    let certificate = current.map { X509Handle(sharing: $0) }
    return .chain(
      code: X509_STORE_CTX_get_error(store), depth: X509_STORE_CTX_get_error_depth(store),
      subject: certificate?.subject ?? "", issuer: certificate?.issuer ?? "",
      notBefore: certificate?.notBefore ?? 0, notAfter: certificate?.notAfter ?? 0)
  }

  func error(of role: TLSRole, expecting expected: [TLSPeerName]) -> TLSError {
    let owner = role == .client ? "the server's" : "the client's"
    switch self {
    case .chain(let code, let depth, let subject, let issuer, let notBefore, let notAfter):
      let which = depth == 0 ? "\(owner) certificate" : "a CA of \(owner) certificate"
      return Self.chainError(
        code, "\(which) (\(subject), signed by \(issuer))", notBefore, notAfter)
    case .wrongName(let names, let subject):
      let wanted = expected.map(\.description).joined(separator: " or ")
      let actual = names.list.map { "is for \($0)" } ?? "(\(subject)) has no names at all"
      return TLSError(
        .wrongName, "\(owner) certificate \(actual), not \(wanted)",
        hint: "if that is the right peer, give its name with name=, uri= or trustdomain=")
    case .expiredSince(let date):
      return TLSError(
        .certificateRefused, "\(owner) certificate expired on \(CalendarDate(date))")
    }
  }

  private static func chainError(
    _ code: Int32, _ which: String, _ notBefore: Int64, _ notAfter: Int64
  ) -> TLSError {
    switch code {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return TLSError(
        .certificateRefused, "\(which) expired on \(CalendarDate(notAfter))",
        hint: "its owner has to renew it; if it is new, compare the clocks")
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return TLSError(
        .certificateRefused, "\(which) is valid only from \(CalendarDate(notBefore)) on",
        hint: "compare the clocks of both machines")
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
      X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
      X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_CERT_UNTRUSTED,
      X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return TLSError(
        .certificateRefused, "\(which) is signed by an unknown CA",
        hint: "give its CA with ca=, if you trust it")
    case X509_V_ERR_INVALID_PURPOSE:
      return TLSError(
        .certificateRefused, "\(which) is not made for this side of TLS",
        hint: "its extended key usage has to allow it: serverAuth, or clientAuth")
    default:
      let text = X509_verify_cert_error_string(Int(code)).map { String(cString: $0) } ?? "\(code)"
      return TLSError(.certificateRefused, "\(which) is refused: \(text)")
    }
  }
}
