internal import COpenSSL

#if canImport(Glibc)
  internal import Glibc
#endif

/// A configuration's certificates and key, read and found to fit together.
struct LoadedMaterial: Sendable {
  private(set) var chain: [X509Handle] = []
  private(set) var key: PrivateKeyHandle?
  private(set) var authorities: [X509Handle] = []
  /// What was read, by path.
  private(set) var stamps: [String: FileStamp] = [:]
  /// What works but should not stay so.
  private(set) var warnings: [String] = []
  private let certificateName: String

  /// Reads files, which blocks for as long as the disk takes.
  init(_ configuration: TLSConfiguration, role: TLSRole) throws(TLSError) {
    try configuration.check(for: role)
    certificateName = configuration.certificate?.description ?? ""
    if let authority = configuration.authority {
      let text = try read(authority, "the CA")
      authorities = try PEMReader.certificates(text)
    }
    if let certificate = configuration.certificate, let key = configuration.key {
      let text = try read(certificate, "the certificate")
      chain = try PEMReader.certificates(text)
      let keyText = try read(key, "the private key")
      self.key = try PEMReader.privateKey(keyText, configuration.passphrase)
      ERR_clear_error()
      guard let pointer = self.key?.pointer,
        X509_check_private_key(chain[0].pointer, pointer) == 1
      else {
        ERR_clear_error()
        throw TLSError(
          .configuration,
          "the private key \(keyText.name) does not fit the certificate \(text.name)",
          hint: "the certificate has to be the first in its file")
      }
      if let mode = keyText.stamp?.mode, mode & 0o044 != 0 {
        warnings.append(
          "the private key \(keyText.name) can be read by others than its owner (mode "
            + String(mode & 0o7777, radix: 8) + ")")
      }
    }
  }

  private mutating func read(
    _ material: TLSMaterial, _ what: String
  ) throws(TLSError) -> MaterialBytes {
    let text = try MaterialBytes(material, what)
    if let stamp = text.stamp { stamps[text.name] = stamp }
    return text
  }

  /// Puts all of it into an SSL_CTX.
  func install(
    on context: OpaquePointer, role: TLSRole, configuration: TLSConfiguration
  ) throws(TLSError) {
    ERR_clear_error()
    if let leaf = chain.first, let key {
      guard SSL_CTX_use_certificate(context, leaf.pointer) == 1,
        SSL_CTX_use_PrivateKey(context, key.pointer) == 1
      else {
        throw TLSFault.takeAll().error(
          "the certificate \(certificateName) cannot be used", .configuration)
      }
      for certificate in chain.dropFirst() {
        guard hp_ctx_add_chain_cert(context, certificate.pointer) == 1 else {
          throw TLSFault.takeAll().error(
            "the chain of the certificate \(certificateName) cannot be used", .configuration)
        }
      }
    }
    guard configuration.verification == .full else { return }
    if authorities.isEmpty, role == .client {
      // Read when they are needed; none at all shows as an unknown CA.
      SSL_CTX_set_default_verify_paths(context)
      return
    }
    let store = SSL_CTX_get_cert_store(context)
    // An intermediate that is given as a CA is one, also without its root.
    X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN))
    for (index, authority) in authorities.enumerated() {
      guard X509_STORE_add_cert(store, authority.pointer) == 1 else {
        throw TLSFault.takeAll().error(
          "the CA \(configuration.authority?.description ?? "") cannot be used", .configuration)
      }
      // A client with several certificates chooses by these names. Many would only be a long list.
      if role == .server, index < 32 { SSL_CTX_add_client_CA(context, authority.pointer) }
    }
  }
}

extension TLSConfiguration {
  /// Finds what cannot work, before anything is read.
  func check(for role: TLSRole) throws(TLSError) {
    switch (certificate, key) {
    case (let certificate?, nil):
      throw TLSError(
        .configuration, "there is the certificate \(certificate) without a private key",
        hint: "give the key with key=")
    case (nil, let key?):
      throw TLSError(
        .configuration, "there is the private key \(key) without a certificate",
        hint: "give the certificate with cert=")
    default: break
    }
    if verification == .none, let authority {
      throw TLSError(
        .configuration,
        "there is the CA \(authority), and verification is turned off: one of them is a mistake",
        hint: "leave out verify=none, or ca=")
    }
    if verification == .none, !peerNames.isEmpty {
      throw TLSError(
        .configuration,
        "the peer's name is to be \(peerNames[0]), and verification is turned off: "
          + "nothing would check it")
    }
    guard role == .server else { return }
    guard certificate != nil else {
      throw TLSError(
        .configuration, "a TLS listener needs a certificate and its private key",
        hint: "give them with cert= and key=; `hawse tls init` makes a pair to try it out")
    }
    guard clientCertificates != .none else {
      guard authority == nil else {
        throw TLSError(
          .configuration,
          "there is a CA for clients, and no client is asked for a certificate",
          hint: "leave out clientcert=none, or ca=")
      }
      return
    }
    if verification == .none {
      throw TLSError(
        .configuration, "a listener that does not verify clients must not ask for certificates",
        hint: "say clientcert=none to let anybody in")
    }
    if authority == nil {
      throw TLSError(
        .configuration,
        "a TLS listener verifies its clients' certificates and needs the CA that signs them",
        hint: "give it with ca=, or say clientcert=none to let anybody in")
    }
  }
}
