#if canImport(Glibc)
  package import Glibc
#endif

/// An IPv4 or IPv6 address, the latter with its zone.
package struct InternetAddress: Sendable, Hashable {
  package enum Family: Sendable, Hashable, CaseIterable { case v6, v4 }

  /// 4 or 16 bytes, in the network's order.
  private let bytes: [UInt8]
  /// The number of the interface that a link-local IPv6 address is of, or 0.
  private let scope: UInt32

  package var family: Family { bytes.count == 4 ? .v4 : .v6 }

  /// A literal without brackets, such as `127.0.0.1`, `::1` or `fe80::1%eth0`; nil for a name.
  ///
  /// - Throws: ``UnknownZone`` when it is a literal and this machine has no such interface.
  package static func parse(_ literal: String) throws(UnknownZone) -> InternetAddress? {
    var v4 = in_addr()
    if inet_pton(AF_INET, literal, &v4) == 1 { return InternetAddress(v4) }
    let parts = literal.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
    var v6 = in6_addr()
    guard let first = parts.first, inet_pton(AF_INET6, String(first), &v6) == 1 else { return nil }
    guard parts.count == 2 else { return InternetAddress(v6, scope: 0) }
    let zone = String(parts[1])
    let scope = if_nametoindex(zone)
    guard let scope = scope == 0 ? UInt32(zone) : scope else { throw UnknownZone(zone: zone) }
    return InternetAddress(v6, scope: scope)
  }

  package struct UnknownZone: Error {
    package let zone: String
  }

  private init(_ address: in_addr) {
    bytes = withUnsafeBytes(of: address) { Array($0) }
    scope = 0
  }

  private init(_ address: in6_addr, scope: UInt32) {
    let all = withUnsafeBytes(of: address) { Array($0) }
    // An IPv4 peer of a socket that takes both comes as ::ffff:a.b.c.d.
    let isMapped = all.prefix(10).allSatisfy { $0 == 0 } && all[10] == 0xff && all[11] == 0xff
    bytes = isMapped ? Array(all[12...]) : all
    self.scope = isMapped ? 0 : scope
  }

  /// Of a socket address of the family; nil for another.
  package init?(_ address: UnsafePointer<sockaddr>) {
    switch Int32(address.pointee.sa_family) {
    case AF_INET:
      self = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
        InternetAddress($0.pointee.sin_addr)
      }
    case AF_INET6:
      self = address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
        InternetAddress($0.pointee.sin6_addr, scope: $0.pointee.sin6_scope_id)
      }
    default: return nil
    }
  }

  /// 127.0.0.0/8 or ::1: what never leaves the machine.
  package var isLoopback: Bool {
    family == .v4 ? bytes[0] == 127 : bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1
  }

  /// 0.0.0.0 or ::, which stand for all addresses of this machine.
  package var isUnspecified: Bool { bytes.allSatisfy { $0 == 0 } }

  package func withSocketAddress<Result>(
    port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
  ) -> Result {
    switch family {
    case .v4:
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: bytes) }
      return Self.withGeneric(&address, body)
    case .v6:
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      address.sin6_scope_id = scope
      withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: bytes) }
      return Self.withGeneric(&address, body)
    }
  }

  private static func withGeneric<Address, Result>(
    _ address: inout Address, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
  ) -> Result {
    withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<Address>.size))
      }
    }
  }
}

extension InternetAddress: CustomStringConvertible {
  /// A literal without brackets, with the zone.
  package var description: String {
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    // It cannot fail: the family is one of two, and the room is that of the longest literal.
    inet_ntop(family == .v4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count))
    let literal = String(
      decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    return scope == 0 ? literal : "\(literal)%\(zone)"
  }

  private var zone: String {
    var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
    guard if_indextoname(scope, &name) != nil else { return "\(scope)" }
    return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}

/// An address with a port: one end of a connection.
struct InternetEndpoint: Sendable, Hashable, CustomStringConvertible {
  var address: InternetAddress
  var port: UInt16

  init(_ address: InternetAddress, port: UInt16) {
    self.address = address
    self.port = port
  }

  /// nil, with errno set, when the socket has no such end.
  init?(localOf descriptor: CInt) { self.init { getsockname(descriptor, $0, $1) } }

  init?(peerOf descriptor: CInt) { self.init { getpeername(descriptor, $0, $1) } }

  private init?(_ ask: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> CInt) {
    var storage = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let read = withUnsafeMutablePointer(to: &storage) { storage in
      storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic -> InternetEndpoint? in
        guard ask(generic, &size) == 0 else { return nil }
        guard let address = InternetAddress(generic) else {
          errno = EAFNOSUPPORT
          return nil
        }
        // The port is at the same place in both families.
        let port = generic.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
          UInt16(bigEndian: $0.pointee.sin_port)
        }
        return InternetEndpoint(address, port: port)
      }
    }
    guard let read else { return nil }
    self = read
  }

  var description: String {
    address.family == .v6 ? "[\(address)]:\(port)" : "\(address):\(port)"
  }
}
