internal import COpenSSL
internal import TransportCore

/// Which cipher suites are used, and in which order.
enum TLSSuites {
  static func set(_ configuration: TLSConfiguration, on context: OpaquePointer) throws(TLSError) {
    let modern = configuration.suites.filter { $0.hasPrefix("TLS_") }
    let older = configuration.suites.filter { !$0.hasPrefix("TLS_") }
    if let name = older.first, configuration.minimumVersion == .tls13 {
      throw TLSError(
        .configuration, "the cipher suite \(name) is of TLS 1.2, and the minimum is 1.3")
    }
    if let name = modern.first, configuration.maximumVersion == .tls12 {
      throw TLSError(
        .configuration, "the cipher suite \(name) is of TLS 1.3, and the maximum is 1.2")
    }
    try set(modern.isEmpty ? TLSCipherSpeed.order.map(\.modern) : modern, context) {
      SSL_CTX_set_ciphersuites($0, $1)
    }
    try set(older.isEmpty ? TLSCipherSpeed.order.flatMap(\.older) : older, context) {
      SSL_CTX_set_cipher_list($0, $1)
    }
  }

  /// One at a time first: given a list, OpenSSL leaves out the names that it does not know.
  private static func set(
    _ names: [String], _ context: OpaquePointer,
    _ install: (OpaquePointer, String) -> Int32
  ) throws(TLSError) {
    for name in names {
      ERR_clear_error()
      let isOne = !name.contains(":") && !name.isEmpty
      guard isOne, install(context, name) == 1 else {
        throw TLSError(
          .configuration, "\"\(name)\" is no cipher suite that OpenSSL would use here",
          hint: "`openssl ciphers -v` lists them")
      }
    }
    guard install(context, names.joined(separator: ":")) == 1 else {
      throw TLSFault.takeAll().error("the cipher suites cannot be used", .configuration)
    }
  }
}

/// The AEAD ciphers, the one that this CPU is fastest at first. All of them are beyond doubt, but
/// their speeds differ by half either way, between CPUs and between OpenSSL's releases: 3.0 has
/// AVX-512 code for ChaCha20-Poly1305, for AES-GCM only later ones do.
enum TLSCipherSpeed {
  struct Cipher {
    var modern: String
    var older: [String]
    /// OpenSSL's name of the cipher itself.
    var algorithm: String
  }

  private static let ciphers = [
    Cipher(
      modern: "TLS_AES_128_GCM_SHA256",
      older: ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"],
      algorithm: "AES-128-GCM"),
    Cipher(
      modern: "TLS_CHACHA20_POLY1305_SHA256",
      older: ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"],
      algorithm: "ChaCha20-Poly1305"),
    Cipher(
      modern: "TLS_AES_256_GCM_SHA384",
      older: ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"],
      algorithm: "AES-256-GCM"),
  ]

  /// Measured when first asked for, which takes less than a millisecond.
  static let order: [Cipher] = {
    let first = measure(ciphers[0].algorithm)
    let second = measure(ciphers[1].algorithm)
    // Both ends should choose alike, so the usual order holds unless the gain is plain.
    let isSwapped = first.map { first in second.map { $0 * 6 < first * 5 } ?? false } ?? true
    return isSwapped ? [ciphers[1], ciphers[0], ciphers[2]] : ciphers
  }()

  /// How long the quickest of a few records took; nil when OpenSSL does not have the cipher.
  private static func measure(_ name: String) -> Duration? {
    guard let cipher = EVP_CIPHER_fetch(nil, name, nil) else { return nil }
    defer { EVP_CIPHER_free(cipher) }
    guard let context = EVP_CIPHER_CTX_new() else { return nil }
    defer { EVP_CIPHER_CTX_free(context) }
    let key = [UInt8](repeating: 1, count: 32)
    let nonce = [UInt8](repeating: 2, count: 16)
    var record = [UInt8](repeating: 3, count: TLSEngine.recordPayload)
    var best: Duration?
    for _ in 0..<8 {
      let began = ContinuousClock.now
      var count: Int32 = 0
      guard EVP_EncryptInit_ex2(context, cipher, key, nonce, nil) == 1,
        record.withUnsafeMutableBufferPointer({ bytes in
          EVP_EncryptUpdate(
            context, bytes.baseAddress, &count, bytes.baseAddress, Int32(bytes.count))
        }) == 1
      else { return nil }
      let took = ContinuousClock.now - began
      best = best.map { min($0, took) } ?? took
    }
    return best
  }
}
