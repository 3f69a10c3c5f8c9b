internal import COpenSSL
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// A certificate of OpenSSL's, released with this object.
///
/// Safe to share: nothing here changes it after it was read, and OpenSSL's own reference count and
/// caches are thread-safe.
final class X509Handle: @unchecked Sendable {
  let pointer: OpaquePointer

  /// Takes over a reference.
  init(owning pointer: OpaquePointer) { self.pointer = pointer }

  /// Adds a reference.
  init(sharing pointer: OpaquePointer) {
    X509_up_ref(pointer)
    self.pointer = pointer
  }

  deinit { X509_free(pointer) }

  /// DER.
  var bytes: [UInt8] {
    let count = i2d_X509(pointer, nil)
    guard count > 0 else { return [] }
    return [UInt8](unsafeUninitializedCapacity: Int(count)) { buffer, initialized in
      var cursor = buffer.baseAddress
      initialized = Int(max(0, i2d_X509(pointer, &cursor)))
    }
  }

  var subject: String { Self.text(X509_get_subject_name(pointer)) }
  var issuer: String { Self.text(X509_get_issuer_name(pointer)) }
  /// Seconds since 1970.
  var notBefore: Int64 { Self.seconds(X509_get0_notBefore(pointer)) }
  /// Seconds since 1970.
  var notAfter: Int64 { Self.seconds(X509_get0_notAfter(pointer)) }

  var summary: TLSIdentity.Certificate {
    TLSIdentity.Certificate(
      bytes: bytes, subject: subject, issuer: issuer, notBefore: notBefore, notAfter: notAfter)
  }

  /// RFC 2253, and UTF-8 left as it is.
  private static func text(_ name: OpaquePointer?) -> String {
    guard let name, let bio = BIO_new(BIO_s_mem()) else { return "" }
    defer { BIO_free(bio) }
    guard X509_NAME_print_ex(bio, name, 0, hp_rfc2253_flags()) >= 0 else { return "" }
    var bytes: UnsafeMutablePointer<CChar>?
    let count = hp_bio_memory(bio, &bytes)
    guard let bytes, count > 0 else { return "" }
    return String(
      decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
  }

  private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64 {
    var parts = tm()
    guard let time, ASN1_TIME_to_tm(time, &parts) == 1 else { return 0 }
    return Int64(timegm(&parts))
  }
}

/// A private key of OpenSSL's, released with this object. Safe to share for the same reasons as
/// ``X509Handle``.
final class PrivateKeyHandle: @unchecked Sendable {
  let pointer: OpaquePointer

  /// Takes over a reference.
  init(owning pointer: OpaquePointer) { self.pointer = pointer }

  deinit { EVP_PKEY_free(pointer) }
}
