internal import COpenSSL

/// Certificates and keys out of PEM text.
enum PEMReader {
  /// All certificates of a text, in order; at least one.
  static func certificates(_ text: MaterialBytes) throws(TLSError) -> [X509Handle] {
    guard let bio = memory(text.bytes) else { throw TLSFault.takeAll().error("no memory") }
    defer { BIO_free(bio) }
    var found: [X509Handle] = []
    ERR_clear_error()
    while let certificate = PEM_read_bio_X509(bio, nil, nil, nil) {
      found.append(X509Handle(owning: certificate))
    }
    let fault = TLSFault.takeAll()
    guard fault.has(PEM_R_NO_START_LINE, in: ERR_LIB_PEM), !found.isEmpty else {
      throw TLSError(
        .configuration,
        "\(text.name) holds no certificate that can be read: \(contents(text, "CERTIFICATE-----", fault))",
        hint: "it has to be PEM: -----BEGIN CERTIFICATE-----")
    }
    return found
  }

  static func privateKey(
    _ text: MaterialBytes, _ passphrase: TLSPassphrase?
  ) throws(TLSError) -> PrivateKeyHandle {
    guard let bio = memory(text.bytes) else { throw TLSFault.takeAll().error("no memory") }
    defer { BIO_free(bio) }
    ERR_clear_error()
    var request = PassphraseRequest(bytes: passphrase?.bytes)
    let key = withUnsafeMutablePointer(to: &request) { request in
      // With a callback of ours OpenSSL never asks at the terminal.
      PEM_read_bio_PrivateKey(
        bio, nil,
        { buffer, size, _, request in
          guard let buffer, let request else { return -1 }
          return request.assumingMemoryBound(to: PassphraseRequest.self).pointee
            .answer(buffer, size)
        }, request)
    }
    let fault = TLSFault.takeAll()
    if let key { return PrivateKeyHandle(owning: key) }
    if request.wasAsked {
      throw TLSError(
        .configuration,
        passphrase == nil
          ? "the private key \(text.name) is encrypted, and there is no passphrase for it"
          : "the passphrase does not open the private key \(text.name)")
    }
    throw TLSError(
      .configuration,
      "\(text.name) holds no private key that can be read: \(contents(text, "PRIVATE KEY-----", fault))",
      hint: "it has to be PEM: -----BEGIN PRIVATE KEY-----")
  }

  /// What a text holds instead of what it should, without a byte of it.
  private static func contents(
    _ text: MaterialBytes, _ wanted: String, _ fault: TLSFault
  ) -> String {
    guard !text.bytes.isEmpty else { return "it is empty" }
    let words = String(decoding: text.bytes.prefix(64 << 10), as: UTF8.self)
    // Which error there is for a file without what was looked for differs between releases.
    if words.contains(wanted) { return fault.text }
    if words.contains("PRIVATE KEY-----") { return "it holds a private key" }
    if words.contains("-----BEGIN CERTIFICATE-----") { return "it holds a certificate" }
    if words.contains("-----BEGIN") { return "it holds something else" }
    return "it is not PEM"
  }

  private static func memory(_ bytes: [UInt8]) -> OpaquePointer? {
    guard let bio = BIO_new(BIO_s_mem()) else { return nil }
    guard bytes.isEmpty || BIO_write(bio, bytes, Int32(bytes.count)) == Int32(bytes.count) else {
      BIO_free(bio)
      return nil
    }
    return bio
  }
}

private struct PassphraseRequest {
  let bytes: [UInt8]?
  var wasAsked = false

  mutating func answer(_ buffer: UnsafeMutablePointer<CChar>, _ size: Int32) -> Int32 {
    wasAsked = true
    guard let bytes, bytes.count <= Int(size) else { return -1 }
    for (index, byte) in bytes.enumerated() { buffer[index] = CChar(bitPattern: byte) }
    return Int32(bytes.count)
  }
}
