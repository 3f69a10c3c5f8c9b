internal import COpenSSL

/// The names of a certificate's subjectAltName extension.
struct CertificateNames: Sendable, Hashable {
  /// More names than this are not read: a list is looked through for every connection.
  private static let limit: Int32 = 1024

  var dns: [String] = []
  /// Literals.
  var ips: [String] = []
  var uris: [String] = []

  init(_ certificate: X509Handle) { self.init(certificate.pointer) }

  init(_ certificate: OpaquePointer) {
    guard let names = X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) else { return }
    let list = OpaquePointer(names)
    defer { GENERAL_NAMES_free(list) }
    for index in 0..<min(hp_general_name_count(list), Self.limit) {
      var kind: Int32 = 0
      guard let name = hp_general_name_at(list, index),
        let value = GENERAL_NAME_get0_value(name, &kind)
      else { continue }
      switch kind {
      case GEN_DNS: if let text = Self.text(value) { dns.append(text) }
      case GEN_URI: if let text = Self.text(value) { uris.append(text) }
      case GEN_IPADD: if let text = IPLiteral.text(Self.bytes(value)) { ips.append(text) }
      default: break
      }
    }
  }

  /// For messages: "build-7.example, 10.0.0.7".
  var list: String? {
    let all = dns + ips + uris
    guard !all.isEmpty else { return nil }
    let shown = all.prefix(8).joined(separator: ", ")
    return all.count > 8 ? "\(shown) and \(all.count - 8) more" : shown
  }

  private static func bytes(_ string: UnsafeMutableRawPointer) -> [UInt8] {
    let string = string.assumingMemoryBound(to: ASN1_STRING.self)
    guard let data = ASN1_STRING_get0_data(string) else { return [] }
    return Array(UnsafeBufferPointer(start: data, count: Int(ASN1_STRING_length(string))))
  }

  /// nil for one with a NUL in it, which is there to be taken for another name.
  private static func text(_ string: UnsafeMutableRawPointer) -> String? {
    let bytes = bytes(string)
    return bytes.contains(0) ? nil : String(decoding: bytes, as: UTF8.self)
  }
}
