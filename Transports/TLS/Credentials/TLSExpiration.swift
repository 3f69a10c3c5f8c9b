/// When a certificate that this side uses runs out.
public struct TLSExpiration: Sendable, Hashable {
  public enum Role: String, Sendable, Hashable {
    /// This side's own certificate, or one of its chain.
    case own
    /// A CA that peers are verified by.
    case authority
  }

  public var role: Role
  /// The distinguished name, in the form of RFC 2253.
  public var subject: String
  /// Seconds since 1970.
  public var notAfter: Int64

  /// Seconds since 1970.
  public var notBefore: Int64

  /// Below this many seconds a log says so: 30 days, or the last third of a short life.
  var warningTime: Int64 { min(30 * 86400, (notAfter - notBefore) / 3) }

  init(_ role: Role, _ certificate: X509Handle) {
    self.role = role
    subject = certificate.subject
    notBefore = certificate.notBefore
    notAfter = certificate.notAfter
  }

  static func all(of material: LoadedMaterial) -> [TLSExpiration] {
    material.chain.map { TLSExpiration(.own, $0) }
      + material.authorities.map { TLSExpiration(.authority, $0) }
  }

  static func warnings(of material: LoadedMaterial) -> [String] {
    let now = CalendarDate.now
    return all(of: material).compactMap { expiration in
      let what = expiration.role == .own ? "the own certificate" : "the CA"
      let left = expiration.notAfter - now
      guard left < expiration.warningTime else { return nil }
      let verb = left < 0 ? "expired" : "expires"
      return "\(what) \(expiration.subject) \(verb) on \(CalendarDate(expiration.notAfter))"
    }
  }
}
