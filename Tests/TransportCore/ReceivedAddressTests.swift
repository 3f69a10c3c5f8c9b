import Testing
import TransportCore

@Suite struct ReceivedAddressTests {
  @Test(
    "A received address may name a peer",
    arguments: [
      "ttrpc+unix:///run/x", "unix://@x", "grpc+vsock://3:1024", "hvsock:///p:1", "tcp://h:1",
      "ttrpc+tls://h:1?servername=x&alpn=h2", "tls+vsock://3:1", "ttrpc+vsock://3:1?streaming_id=a",
    ])
  func allowed(text: String) throws {
    #expect(try TransportAddress(parsing: text, origin: .received).origin == .received)
  }

  @Test(
    "A received address may not open, run or trust things",
    arguments: [
      "fd://3", "memory://x", "exec://?arg=/bin/sh", "pigeon://x", "tls+fd://3",
      "tls://h:1?key=/etc/ssl/key.pem", "tls://h:1?ca=/tmp/ca", "unix:///x?anything=1",
      "pigeon+unix:///x",
    ])
  func forbidden(text: String) {
    #expect(throws: Never.self) {
      try TransportAddress(parsing: text, customTransports: ["pigeon"])
    }
    let error = #expect(throws: TransportError.self) {
      try TransportAddress(parsing: text, origin: .received, customTransports: ["pigeon"])
    }
    #expect(error?.code == .forbiddenAddress)
    #expect(error?.hint != nil)
  }
}
