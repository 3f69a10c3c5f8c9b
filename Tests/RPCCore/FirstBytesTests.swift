import Testing

@testable import RPCCore

@Suite("What the first bytes of a connection give away")
struct FirstBytesTests {
  @Test(
    arguments: [
      (Array("PRI * HTTP/2.0\r\n".utf8), .http2), (Array("PRI ".utf8), nil),
      (Array("GET / HTTP/1.1".utf8), .http1), (Array("GETAWAY".utf8), nil),
      ([0x16, 3, 1], .tls), ([0x16], nil), ([0x16, 4, 1], nil),
      ([0, 0x40, 0, 0, 0, 0, 0, 1, 1], .ttrpc), ([0, 0x41, 0, 0, 0, 0, 0, 1, 1], nil),
      ([0, 0, 0, 1, 0, 0, 0, 1], nil), ([], nil),
    ] as [([UInt8], FirstBytes?)])
  func guess(_ bytes: [UInt8], _ expected: FirstBytes?) {
    #expect(FirstBytes(bytes) == expected)
  }
}
