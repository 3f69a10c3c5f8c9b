/// What the first bytes of a connection give away of who is at its other end, to tell a client that has
/// come to the wrong door where it is.
package enum FirstBytes: String, Sendable {
  case ttrpc = "ttrpc"
  case http2 = "HTTP/2, as gRPC does"
  case http1 = "HTTP/1"
  case tls = "TLS"

  private static let methods = [
    "GET ", "POST ", "PUT ", "HEAD ", "OPTIONS ", "CONNECT ", "DELETE ", "PATCH ", "TRACE ",
  ]

  /// - Parameter bytes: as many as have come.
  /// - Returns: nil for what is none of these, or too little to tell.
  package init?(_ bytes: some Collection<UInt8>) {
    let first = Array(bytes.prefix(9))
    // The whole preface is longer (RFC 9113, 3.4); nothing else begins like it.
    if first.starts(with: "PRI *".utf8) {
      self = .http2
    } else if first.starts(with: [0x16, 3]) {
      // A handshake record of TLS 1.x (RFC 8446, 5.1).
      self = .tls
    } else if Self.methods.contains(where: { first.starts(with: $0.utf8) }) {
      self = .http1
    } else if first.count == 9, first[0] == 0, first[1] <= 0x40, first[8] == 1 {
      // Length (at most 4 MiB), stream, and the type of a request.
      self = .ttrpc
    } else {
      return nil
    }
  }
}
