internal import COpenSSL

#if canImport(Glibc)
  internal import Glibc
#endif

/// Puts an X.509 certificate together and signs it.
struct CertificateBuilder {
  let subject: String
  let key: PrivateKeyHandle
  let validity: PrivateAuthority.Validity

  /// - Parameter issuer: nil for one that signs itself.
  func finish(
    extensions: [(Int32, String)], issuer: X509Handle?, signer: PrivateKeyHandle
  ) throws(TLSError) -> X509Handle {
    guard let pointer = X509_new() else { throw fault }
    let certificate = X509Handle(owning: pointer)
    guard X509_set_version(pointer, 2) == 1, setSerial(pointer),
      setTime(X509_getm_notBefore(pointer), validity.from),
      setTime(X509_getm_notAfter(pointer), validity.until),
      setSubject(pointer),
      X509_set_issuer_name(pointer, X509_get_subject_name(issuer?.pointer ?? pointer)) == 1,
      X509_set_pubkey(pointer, key.pointer) == 1
    else { throw fault }
    for (kind, text) in extensions {
      try add(kind, text, to: pointer, issuer: issuer?.pointer ?? pointer)
    }
    guard X509_sign(pointer, signer.pointer, EVP_sha256()) > 0 else { throw fault }
    return certificate
  }

  private var fault: TLSError {
    TLSFault.takeAll().error("cannot make the certificate of \(subject)")
  }

  /// 127 random bits: never negative, and never the same twice.
  private func setSerial(_ certificate: OpaquePointer) -> Bool {
    guard let number = BN_new() else { return false }
    defer { BN_free(number) }
    return BN_rand(number, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1
      && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nil
  }

  private func setTime(_ time: UnsafeMutablePointer<ASN1_TIME>?, _ offset: Int64) -> Bool {
    X509_gmtime_adj(time, Int(offset)) != nil
  }

  private func setSubject(_ certificate: OpaquePointer) -> Bool {
    X509_NAME_add_entry_by_NID(
      X509_get_subject_name(certificate), NID_commonName, MBSTRING_UTF8, Array(subject.utf8),
      Int32(subject.utf8.count), -1, 0) == 1
  }

  private func add(
    _ kind: Int32, _ text: String, to certificate: OpaquePointer, issuer: OpaquePointer
  ) throws(TLSError) {
    var context = X509V3_CTX()
    X509V3_set_ctx(&context, issuer, certificate, nil, nil, 0)
    guard let made = X509V3_EXT_conf_nid(nil, &context, kind, text) else { throw fault }
    defer { X509_EXTENSION_free(made) }
    guard X509_add_ext(certificate, made, -1) == 1 else { throw fault }
  }
}

/// Certificates and keys as PEM text.
enum PEMWriter {
  static func certificate(_ certificate: X509Handle) throws(TLSError) -> [UInt8] {
    try text { PEM_write_bio_X509($0, certificate.pointer) }
  }

  static func privateKey(_ key: PrivateKeyHandle) throws(TLSError) -> [UInt8] {
    try text { PEM_write_bio_PKCS8PrivateKey($0, key.pointer, nil, nil, 0, nil, nil) }
  }

  private static func text(_ write: (OpaquePointer) -> Int32) throws(TLSError) -> [UInt8] {
    guard let bio = BIO_new(BIO_s_mem()) else { throw TLSFault.takeAll().error("no memory") }
    defer { BIO_free(bio) }
    guard write(bio) == 1 else { throw TLSFault.takeAll().error("cannot write PEM") }
    var bytes: UnsafeMutablePointer<CChar>?
    let count = hp_bio_memory(bio, &bytes)
    guard let bytes else { throw TLSFault.takeAll().error("cannot write PEM") }
    return Array(UnsafeRawBufferPointer(start: bytes, count: count))
  }
}
