internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// The address of one end of a socket, as getsockname(2) and getpeername(2) tell.
struct SocketName {
  private var storage = sockaddr_storage()
  private var size = socklen_t(MemoryLayout<sockaddr_storage>.size)

  init(local descriptor: CInt) throws(DescriptorFault) {
    guard ask(getsockname, descriptor) == 0 else { throw .system(errno, "getsockname") }
  }

  init(peer descriptor: CInt) throws(DescriptorFault) {
    guard ask(getpeername, descriptor) == 0 else { throw .system(errno, "getpeername") }
  }

  private mutating func ask(
    _ call: (CInt, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> CInt,
    _ descriptor: CInt
  ) -> CInt {
    var size = size
    defer { self.size = size }
    return withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { call(descriptor, $0, &size) }
    }
  }

  var family: Int32 { Int32(storage.ss_family) }

  /// The end of a TCP connection.
  func network() throws(DescriptorFault) -> PeerIdentity.NetworkEndpoint {
    var storage = storage
    let size = size
    var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    let failure = withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        getnameinfo($0, size, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST)
      }
    }
    guard failure == 0 else { throw .system(EAFNOSUPPORT, "getnameinfo") }
    let text = String(decoding: host.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    return PeerIdentity.NetworkEndpoint(host: text, port: port, isLoopback: isLoopback)
  }

  private var port: UInt16 {
    // The same place in both families.
    withBytes { UInt16($0[2]) << 8 | UInt16($0[3]) }
  }

  private var isLoopback: Bool {
    withBytes { bytes in
      if family == AF_INET { return bytes[4] == 127 }
      let address = Array(bytes[8..<24])
      let mapped = [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 127]
      let one = [UInt8](repeating: 0, count: 15) + [1]
      return address == one || address.starts(with: mapped)
    }
  }

  private func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    var storage = storage
    return withUnsafeBytes(of: &storage, body)
  }
}
