internal import COpenSSL
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// What all connections of one configuration share: OpenSSL's SSL_CTX with the certificate, the key
/// and the CAs in it. Credentials that are reloaded make a new one, and sessions of the old one are
/// not resumed in it.
///
/// Safe to share: it is complete when `init` returns, and OpenSSL only reads it afterwards, but for
/// counters and a cache that it guards itself.
final class TLSContext: @unchecked Sendable {
  let pointer: OpaquePointer
  let role: TLSRole
  let configuration: TLSConfiguration
  let sessions = TLSSessions()
  let keyLog: TLSKeyLog?
  /// ``TLSConfiguration/applicationProtocols`` as they are on the wire.
  private let protocols: [UInt8]

  /// Where an SSL keeps its ``TLSEngine``, and an SSL_CTX its `TLSContext`; unretained, since those
  /// own them.
  static let engineIndex = hp_new_ssl_index()
  static let contextIndex = hp_new_ctx_index()

  init(
    _ configuration: TLSConfiguration, role: TLSRole, material: LoadedMaterial
  ) throws(TLSError) {
    ERR_clear_error()
    let method = role == .client ? TLS_client_method() : TLS_server_method()
    guard let pointer = SSL_CTX_new(method) else {
      throw TLSFault.takeAll().error("no TLS context")
    }
    self.pointer = pointer
    self.role = role
    self.configuration = configuration
    do throws(TLSError) {
      self.protocols = try ApplicationProtocols.wireFormat(configuration.applicationProtocols)
      self.keyLog = try configuration.keyLogFile.map { path throws(TLSError) in
        try TLSKeyLog(path)
      }
    } catch {
      SSL_CTX_free(pointer)
      throw error
    }
    // From here on deinit frees it.
    SSL_CTX_set_ex_data(pointer, Self.contextIndex, Unmanaged.passUnretained(self).toOpaque())
    hp_ctx_set_modes(pointer)
    hp_ctx_set_options(pointer, configuration.resumesSessions && !keepsSessions ? 1 : 0)
    try setVersions()
    try TLSSuites.set(configuration, on: pointer)
    try material.install(on: pointer, role: role, configuration: configuration)
    setVerification()
    setProtocols()
    setSessions()
    if keyLog != nil {
      SSL_CTX_set_keylog_callback(pointer) { ssl, line in
        guard let ssl, let line, let engine = TLSContext.engine(of: ssl) else { return }
        engine.context.keyLog?.append(line)
      }
    }
  }

  deinit { SSL_CTX_free(pointer) }

  static func engine(of ssl: OpaquePointer) -> TLSEngine? {
    SSL_get_ex_data(ssl, engineIndex).map {
      Unmanaged<TLSEngine>.fromOpaque($0).takeUnretainedValue()
    }
  }

  private func setVersions() throws(TLSError) {
    func number(_ version: TLSIdentity.Version) -> Int32 {
      version == .tls12 ? TLS1_2_VERSION : TLS1_3_VERSION
    }
    let (least, most) = (configuration.minimumVersion, configuration.maximumVersion)
    guard least <= most else {
      throw TLSError(
        .configuration,
        "the minimum TLS version \(least.rawValue) is above the maximum \(most.rawValue)")
    }
    guard hp_ctx_set_versions(pointer, number(least), number(most)) == 1 else {
      throw TLSFault.takeAll().error("cannot use TLS \(least.rawValue) to \(most.rawValue)")
    }
  }

  // MARK: Verification

  private func setVerification() {
    var mode = SSL_VERIFY_NONE
    switch (configuration.verification, role, configuration.clientCertificates) {
    case (.none, .client, _), (_, .server, .none): break
    case (.full, .client, _), (_, .server, .optional): mode = SSL_VERIFY_PEER
    case (_, .server, .required): mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
    }
    SSL_CTX_set_verify(pointer, mode, nil)
    SSL_CTX_set_cert_verify_callback(
      pointer,
      { store, _ in
        guard let store, let ssl = hp_ssl_of_store_context(store),
          let engine = TLSContext.engine(of: ssl)
        else { return 0 }
        return engine.verify(store) ? 1 : 0
      }, nil)
    guard role == .client else { return }
    // Called when the server wants a certificate; whether there is one is its to complain about.
    SSL_CTX_set_cert_cb(
      pointer,
      { ssl, _ in
        if let ssl { TLSContext.engine(of: ssl)?.wasAskedForCertificate = true }
        return 1
      }, nil)
  }

  // MARK: Application protocols

  private func setProtocols() {
    guard !protocols.isEmpty else { return }
    if role == .client {
      // 0 is success here. It fails for want of memory only: then none is agreed on.
      SSL_CTX_set_alpn_protos(pointer, protocols, UInt32(protocols.count))
      return
    }
    SSL_CTX_set_alpn_select_cb(
      pointer,
      { ssl, chosen, chosenCount, offered, offeredCount, _ in
        guard let ssl, let chosen, let chosenCount, let offered,
          let context = TLSContext.engine(of: ssl)?.context
        else { return SSL_TLSEXT_ERR_ALERT_FATAL }
        return context.choose(
          UnsafeBufferPointer(start: offered, count: Int(offeredCount)), chosen, chosenCount)
      }, nil)
    guard configuration.requiresApplicationProtocol else { return }
    SSL_CTX_set_client_hello_cb(
      pointer,
      { ssl, alert, _ in
        var bytes: UnsafePointer<UInt8>?
        var count = 0
        let extensionType = UInt32(TLSEXT_TYPE_application_layer_protocol_negotiation)
        if SSL_client_hello_get0_ext(ssl, extensionType, &bytes, &count) == 1 {
          return SSL_CLIENT_HELLO_SUCCESS
        }
        alert?.pointee = SSL_AD_NO_APPLICATION_PROTOCOL
        return SSL_CLIENT_HELLO_ERROR
      }, nil)
  }

  /// The server's best that the client has, too. The choice points into the client's own list, which
  /// lives as long as it is needed.
  private func choose(
    _ offered: UnsafeBufferPointer<UInt8>, _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>,
    _ chosenCount: UnsafeMutablePointer<UInt8>
  ) -> Int32 {
    for wanted in configuration.applicationProtocols {
      var start = 0
      while start < offered.count {
        let name = start + 1..<start + 1 + Int(offered[start])
        guard name.upperBound <= offered.count else { return SSL_TLSEXT_ERR_ALERT_FATAL }
        if offered[name].elementsEqual(wanted.utf8) {
          chosen.pointee = offered.baseAddress.map { $0 + name.lowerBound }
          chosenCount.pointee = UInt8(name.count)
          return SSL_TLSEXT_ERR_OK
        }
        start = name.upperBound
      }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL
  }

  // MARK: Sessions

  /// How many sessions a server keeps; the one that was used longest ago gives way. A few KiB each.
  private static let keptSessions = 1024

  /// Whether a server keeps its sessions, or else puts each into the ticket that stands for it. With a
  /// client's certificate in it that costs as much again as the rest of the handshake: OpenSSL 3.0
  /// decodes its public key anew each time that a ticket is opened.
  private var keepsSessions: Bool {
    role == .server && configuration.resumesSessions && configuration.clientCertificates != .none
  }

  private func setSessions() {
    guard configuration.resumesSessions else {
      hp_ctx_set_session_cache(pointer, Int(SSL_SESS_CACHE_OFF))
      SSL_CTX_set_num_tickets(pointer, 0)
      return
    }
    if role == .server {
      // What clients resume with is of this context's own, so one from before a reload means a full
      // handshake. TLS 1.3's is sent when the peer is let in.
      hp_ctx_set_session_cache(
        pointer, Int(keepsSessions ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_OFF))
      if keepsSessions { hp_ctx_set_session_cache_size(pointer, Self.keptSessions) }
      SSL_CTX_set_num_tickets(pointer, 0)
      let id = Array("hawsepipe".utf8)
      SSL_CTX_set_session_id_context(pointer, id, UInt32(id.count))
      return
    }
    hp_ctx_set_session_cache(
      pointer, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL))
    SSL_CTX_sess_set_new_cb(pointer) { ssl, session in
      guard let ssl, let session, let engine = TLSContext.engine(of: ssl) else { return 0 }
      return engine.keep(session) ? 1 : 0
    }
  }
}
