/// The list of ALPN (RFC 7301, 3.1).
enum ApplicationProtocols {
  static func wireFormat(_ names: [String]) throws(TLSError) -> [UInt8] {
    var bytes: [UInt8] = []
    for name in names {
      guard (1...255).contains(name.utf8.count) else {
        throw TLSError(
          .configuration, "\"\(name)\" is no application protocol: it has 1 to 255 bytes")
      }
      bytes.append(UInt8(name.utf8.count))
      bytes += name.utf8
    }
    guard bytes.count <= 4096 else {
      throw TLSError(.configuration, "there are too many application protocols")
    }
    return bytes
  }
}
