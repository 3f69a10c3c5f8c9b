internal import COpenSSL
internal import TransportCore

/// One connection's TLS: OpenSSL's state, driven by bytes in and bytes out. It does no I/O and knows
/// no event loop; whoever owns it calls it from one thread at a time.
final class TLSEngine {
  enum Progress {
    case done
    /// More of the peer's bytes are needed.
    case wantsInput
    case failed(TLSFault)
  }

  enum ReadEnd {
    /// All of the input is used up.
    case wantsInput
    /// There is more than the output could take.
    case outputFull
    /// The peer said that it sends no more (close_notify).
    case closed
    case failed(TLSFault)
  }

  /// The plaintext of a record, at most (RFC 8446, 5.1).
  static let recordPayload = 16384
  /// What a record needs at most, header, nonce, padding and tag included (RFC 5246, 6.2.3; OpenSSL
  /// makes them no longer than this).
  static let recordRoom = recordPayload + 256

  let context: TLSContext
  let ssl: OpaquePointer
  private let wire: UnsafeMutablePointer<TLSWire>
  /// Which cached sessions this connection may resume and adds to; clients only.
  let sessionKey: String?
  /// The names that the peer's certificate is checked against.
  let expected: [TLSPeerName]
  /// What was wrong with the peer's certificate.
  var certificateProblem: CertificateProblem?
  /// Whether the peer asked for this side's certificate; clients only.
  var wasAskedForCertificate = false
  /// Who the peer is, found while its certificate was verified.
  var verifiedIdentity: TLSIdentity?
  /// Whether a server has gone on after its client's certificate; see ``watchForWelcome()``.
  var wasWelcomed = false
  /// Who is let in, known before the handshake begins.
  var admission: TLSAdmission?

  /// - Parameters:
  ///   - serverName: what a client says that it wants to reach (SNI).
  init(
    _ context: TLSContext, serverName: String? = nil, expecting expected: [TLSPeerName] = [],
    sessionKey: String? = nil
  ) throws(TLSError) {
    self.context = context
    self.expected = expected
    self.sessionKey = context.configuration.resumesSessions ? sessionKey : nil
    ERR_clear_error()
    guard let ssl = SSL_new(context.pointer) else { throw TLSFault.takeAll().error("no TLS state") }
    self.ssl = ssl
    self.wire = .allocate(capacity: 1)
    wire.initialize(to: TLSWire())
    // From here on deinit frees all of it.
    guard let bio = TLSWire.bio(on: wire) else { throw TLSFault.takeAll().error("no BIO") }
    // Both directions: SSL_free releases it once.
    SSL_set_bio(ssl, bio, bio)
    SSL_set_ex_data(ssl, TLSContext.engineIndex, Unmanaged.passUnretained(self).toOpaque())
    guard context.role == .client else {
      SSL_set_accept_state(ssl)
      return
    }
    SSL_set_connect_state(ssl)
    if let serverName, hp_set_server_name(ssl, serverName) != 1 {
      throw TLSError(.configuration, "\"\(serverName)\" is no server name")
    }
    if let key = self.sessionKey, let session = context.sessions.take(key) {
      SSL_set_session(ssl, session.pointer)
    }
  }

  deinit {
    // An end that was not clean would make OpenSSL forget the session, which is still good: whether
    // the stream was cut is the handler's to tell, record by record.
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
    SSL_free(ssl)
    wire.pointee.discardSpill()
    wire.deinitialize(count: 1)
    wire.deallocate()
  }

  /// Goes on with the handshake.
  ///
  /// - Returns: how it stands, and how many bytes of the input were not used.
  func handshake(_ input: UnsafeRawBufferPointer) -> (Progress, unused: Int) {
    lend(input)
    defer { takeBack() }
    ERR_clear_error()
    let result = SSL_do_handshake(ssl)
    guard result != 1 else { return (.done, wire.pointee.inputCount) }
    switch SSL_get_error(ssl, result) {
    case SSL_ERROR_WANT_READ: return (.wantsInput, 0)
    default: return (.failed(.takeAll()), 0)
    }
  }

  /// Decrypts as much as there is and fits.
  ///
  /// - Returns: why it ended, how many bytes of the input were not used, and how many were written.
  func read(
    _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) -> (ReadEnd, unused: Int, count: Int) {
    lend(input)
    defer { takeBack() }
    var count = 0
    // Once for all of the records: what succeeds leaves no error behind.
    ERR_clear_error()
    while count < output.count, let base = output.baseAddress {
      var got = 0
      let result = SSL_read_ex(ssl, base + count, output.count - count, &got)
      guard result == 1 else {
        return (readEnd(SSL_get_error(ssl, result)), wire.pointee.inputCount, count)
      }
      count += got
    }
    return (.outputFull, wire.pointee.inputCount, count)
  }

  private func readEnd(_ error: Int32) -> ReadEnd {
    switch error {
    case SSL_ERROR_WANT_READ: .wantsInput
    case SSL_ERROR_ZERO_RETURN: .closed
    default: .failed(.takeAll())
    }
  }

  /// Encrypts, one record after the other, as much as surely fits.
  ///
  /// - Returns: how many bytes of the input were used, and how many were written.
  func write(
    _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) throws(TLSError) -> (used: Int, count: Int) {
    wire.pointee.output = output.baseAddress
    wire.pointee.outputRoom = output.count
    wire.pointee.outputCount = 0
    defer {
      wire.pointee.output = nil
      wire.pointee.outputRoom = 0
    }
    var used = 0
    ERR_clear_error()
    while used < input.count, output.count - wire.pointee.outputCount >= Self.recordRoom,
      let base = input.baseAddress
    {
      var taken = 0
      let result = SSL_write_ex(
        ssl, base + used, min(input.count - used, Self.recordPayload), &taken)
      guard result == 1 else { throw TLSFault.takeAll().error("cannot encrypt") }
      used += taken
    }
    return (used, wire.pointee.outputCount)
  }

  /// Says that this side sends no more (close_notify). Done once; nothing can be written then.
  func shutDown() {
    ERR_clear_error()
    // 0 means that the peer has not said the same yet, which is no failure. A failure leaves nothing
    // to send, and the connection is about to be closed anyway.
    _ = SSL_shutdown(ssl)
    ERR_clear_error()
  }

  /// Whether a TLS 1.3 client waits for an answer to its certificate, or to its having none.
  var isAwaited: Bool {
    context.role == .server && version == .tls13 && SSL_session_reused(ssl) == 0
      && context.configuration.clientCertificates != .none
  }

  /// Tells a client that it was let in, which TLS 1.3 has no message for: by the ticket to resume
  /// with, or by a new key when there are none.
  func welcome() {
    guard context.role == .server, version == .tls13 else { return }
    guard !context.configuration.resumesSessions else { return giveTicket() }
    ERR_clear_error()
    // A client that is told nothing waits for longer: nothing worse.
    if SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 { SSL_do_handshake(ssl) }
    ERR_clear_error()
  }

  /// Gives a client the means to resume.
  func giveTicket() {
    guard context.role == .server, version == .tls13, context.configuration.resumesSessions else {
      return
    }
    ERR_clear_error()
    // Without a ticket the next handshake is a full one: nothing worse.
    if SSL_new_session_ticket(ssl) == 1 { SSL_do_handshake(ssl) }
    ERR_clear_error()
  }

  /// What is to be sent besides what ``write(_:into:)`` gave: handshakes, alerts, key updates.
  func takeOutput(_ body: (UnsafeRawBufferPointer) -> Void) {
    guard wire.pointee.spillCount > 0 else { return }
    body(UnsafeRawBufferPointer(start: wire.pointee.spill, count: wire.pointee.spillCount))
    wire.pointee.discardSpill()
  }

  private func lend(_ input: UnsafeRawBufferPointer) {
    wire.pointee.input = input.baseAddress
    wire.pointee.inputCount = input.count
  }

  private func takeBack() {
    wire.pointee.input = nil
    wire.pointee.inputCount = 0
  }
}
