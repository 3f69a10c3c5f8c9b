internal import COpenSSL
internal import TransportCore

/// Who the peer is and whether it is the right one.
extension TLSEngine {
  /// Called by OpenSSL in the middle of a full handshake, so that a refusal is an alert to the peer.
  func verify(_ store: OpaquePointer) -> Bool {
    guard context.configuration.verification == .full || context.role == .server else {
      // Nobody looks: the result must not read as a success later.
      X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED)
      return true
    }
    guard X509_verify_cert(store) == 1 else {
      certificateProblem = .chain(store)
      return false
    }
    guard let certificate = X509_STORE_CTX_get0_cert(store) else { return false }
    let names = CertificateNames(certificate)
    certificateProblem = nameProblem(certificate, names)
    guard certificateProblem == nil else {
      X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH)
      return false
    }
    let identity = identity(
      X509Handle(sharing: certificate), names, sent: X509_STORE_CTX_get0_untrusted(store),
      first: 1, isVerified: true)
    verifiedIdentity = identity
    guard admission?.decide(identity) ?? true else {
      X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED)
      return false
    }
    return true
  }

  /// What a resumed session has to be asked again: its certificate's names and dates. OpenSSL resumes
  /// without a look at them.
  func checkResumed() -> CertificateProblem? {
    guard SSL_session_reused(ssl) == 1, verifies, let certificate = SSL_get0_peer_certificate(ssl)
    else { return nil }
    let notAfter = X509Handle(sharing: certificate).notAfter
    if notAfter < CalendarDate.now { return .expiredSince(notAfter) }
    return nameProblem(certificate, CertificateNames(certificate))
  }

  private var verifies: Bool {
    let configuration = context.configuration
    return context.role == .client
      ? configuration.verification == .full : configuration.clientCertificates != .none
  }

  private func nameProblem(
    _ certificate: OpaquePointer, _ names: CertificateNames
  ) -> CertificateProblem? {
    guard !expected.isEmpty else { return nil }
    if expected.contains(where: { $0.matches(certificate, names) }) { return nil }
    return .wrongName(names, subject: X509Handle(sharing: certificate).subject)
  }

  /// Keeps a session for later connections to the same server.
  ///
  /// - Returns: whether the reference was taken over.
  func keep(_ session: OpaquePointer) -> Bool {
    guard let sessionKey, SSL_SESSION_is_resumable(session) == 1,
      !verifies || SSL_get_verify_result(ssl) == Int(X509_V_OK)
    else { return false }
    context.sessions.add(TLSSession(owning: session), for: sessionKey)
    return true
  }

  var version: TLSIdentity.Version { SSL_version(ssl) == TLS1_3_VERSION ? .tls13 : .tls12 }

  /// Whether the server's verdict on this side's certificate is still to come: TLS 1.3's client is
  /// through with its handshake before the server has read it (RFC 8446, 4.4.2.4).
  var awaitsVerdict: Bool {
    context.role == .client && wasAskedForCertificate && version == .tls13
      && SSL_session_reused(ssl) == 0
  }

  /// From here on ``wasWelcomed`` tells that a server has gone on after its client's certificate: with
  /// a session ticket, or with new keys.
  func watchForWelcome() {
    SSL_set_msg_callback(ssl) { isWritten, _, type, bytes, count, ssl, _ in
      guard isWritten == 0, type == SSL3_RT_HANDSHAKE, count > 0, let bytes, let ssl else { return }
      let message = Int32(bytes.load(as: UInt8.self))
      guard message == SSL3_MT_NEWSESSION_TICKET || message == SSL3_MT_KEY_UPDATE else { return }
      TLSContext.engine(of: ssl)?.wasWelcomed = true
    }
  }

  func stopWatching() { SSL_set_msg_callback(ssl, nil) }

  var applicationProtocol: String? {
    var bytes: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    SSL_get0_alpn_selected(ssl, &bytes, &count)
    guard let bytes, count > 0 else { return nil }
    return String(decoding: UnsafeBufferPointer(start: bytes, count: Int(count)), as: UTF8.self)
  }

  /// Once the handshake is done.
  var identity: TLSIdentity {
    if let verifiedIdentity { return verifiedIdentity }
    let leaf = SSL_get0_peer_certificate(ssl).map { X509Handle(sharing: $0) }
    let isVerified = verifies && leaf != nil && SSL_get_verify_result(ssl) == Int(X509_V_OK)
    // A server's view of the chain lacks the client's own certificate.
    return identity(
      leaf, leaf.map { CertificateNames($0) }, sent: SSL_get_peer_cert_chain(ssl),
      first: context.role == .client ? 1 : 0,
      isVerified: isVerified)
  }

  /// - Parameters:
  ///   - sent: the peer's chain, of which a session that was resumed by a ticket has only the leaf.
  ///   - first: where it goes on behind the leaf.
  private func identity(
    _ leaf: X509Handle?, _ names: CertificateNames?, sent: OpaquePointer?, first: Int32,
    isVerified: Bool
  ) -> TLSIdentity {
    var chain = leaf.map { [$0.summary] } ?? []
    let count = hp_x509_count(sent)
    if leaf != nil, first < count {
      chain += (first..<count).compactMap { index in
        hp_x509_at(sent, index).map { X509Handle(sharing: $0).summary }
      }
    }
    // While TLS 1.2's handshake goes on, its cipher is to come.
    let cipher = SSL_get_current_cipher(ssl) ?? SSL_get_pending_cipher(ssl)
    return TLSIdentity(
      version: version,
      cipher: SSL_CIPHER_standard_name(cipher).map { String(cString: $0) } ?? "",
      alpn: applicationProtocol, chain: chain, isVerified: isVerified,
      isResumed: SSL_session_reused(ssl) == 1, dnsNames: names?.dns ?? [],
      ipAddresses: names?.ips ?? [], uris: names?.uris ?? [])
  }
}

extension TLSPeerName {
  func matches(_ certificate: OpaquePointer, _ names: CertificateNames) -> Bool {
    switch self {
    case .dns(let name):
      let flags = UInt32(X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)
      return X509_check_host(certificate, name, 0, flags, nil) == 1
    case .ip(let text):
      return X509_check_ip_asc(certificate, text, 0) == 1
    case .uri(let uri):
      return names.uris.contains { $0.utf8.elementsEqual(uri.utf8) }
    case .trustDomain(let domain):
      guard names.uris.count == 1 else { return false }
      let start = "spiffe://\(domain)/".utf8
      return names.uris[0].utf8.count > start.count && names.uris[0].utf8.starts(with: start)
    }
  }
}
