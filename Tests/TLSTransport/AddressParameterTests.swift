import TLSTransport
import Testing
import TransportCore

@Suite struct AddressParameterTests {
  private func materials(_ pki: TestPKI) -> [(String, String)] {
    [("ca", pki.path("ca.pem")), ("cert", pki.path("client.pem")), ("key", pki.path("client.key"))]
  }

  @Test("An address brings all that a client needs")
  func parameters() async throws {
    let pki = try TestPKI()
    try await withServer(pki, pki.server { $0.applicationProtocols = ["ttrpc"] }) { _ in
      let connection = try await connect(
        pki, TLSConfiguration(),
        parameters: materials(pki) + [
          ("servername", "build-7.example"), ("alpn", "h2,ttrpc"), ("min", "1.3"),
        ])
      #expect(connection.tls?.alpn == "ttrpc")
      #expect(connection.tls?.version == .tls13)
      await connection.close()
    }
  }

  @Test("A profile brings it, too, with paths from its own directory")
  func profile() async throws {
    let pki = try TestPKI()
    let json = """
      {"ca": "ca.pem", "cert": "client.pem", "key": "client.key", "name": "build-7.example",
       "alpn": ["ttrpc"]}
      """
    let path = try pki.directory.write("profile.json", Array(json.utf8))
    try await withServer(pki, pki.server { $0.applicationProtocols = ["ttrpc", "h2"] }) { _ in
      let connection = try await connect(
        pki, TLSConfiguration(), parameters: [("profile", path)])
      #expect(connection.tls?.alpn == "ttrpc")
      await connection.close()
      let other = try await connect(
        pki, TLSConfiguration(), parameters: [("profile", path), ("alpn", "h2")])
      #expect(other.tls?.alpn == "h2")
      await other.close()
    }
  }

  @Test(
    "A profile with something unknown or wrong in it is refused",
    arguments: [
      (#"{"veryfy": "none"}"#, "veryfy"), (#"{"profile": "x"}"#, "profile"), ("[]", "JSON object"),
      (#"{"ca": 5}"#, "JSON object"), (#"{"ca": ["a", "b"]}"#, "one value"), ("", "JSON object"),
      (#"{"min": "1.1"}"#, "1.2, 1.3"), (#"{"keylog": "/tmp/x"}"#, "keylog"),
    ])
  func badProfile(_ json: String, _ word: String) async throws {
    let pki = try TestPKI()
    let path = try pki.directory.write("profile.json", Array(json.utf8))
    let error = await #expect(throws: TransportError.self) {
      try await connect(pki, TLSConfiguration(), parameters: [("profile", path)])
    }
    #expect(tlsError(error)?.code == .configuration)
    #expect(error?.description.contains(word) == true, "\(String(describing: error))")
  }

  @Test(
    "A parameter with a wrong value is refused",
    arguments: [
      ("verify", "maybe"), ("min", "1.0"), ("resume", "yes"), ("clientcert", "none"), ("ca", ""),
      ("alpn", "a,,b"),
    ])
  func badValue(_ name: String, _ value: String) async throws {
    let pki = try TestPKI()
    let error = await #expect(throws: TransportError.self) {
      try await connect(pki, pki.client(), parameters: [(name, value)])
    }
    #expect(tlsError(error)?.code == .configuration)
  }

  @Test("gRPC's protocol is asked for and required when the address says grpc")
  func grpc() async throws {
    let pki = try TestPKI()
    try await withServer(pki, pki.server(), rpc: .grpc) { _ in
      let connection = try await connect(pki, pki.client(), rpc: .grpc)
      #expect(connection.tls?.alpn == "h2")
      await connection.close()
      for configuration in [pki.client(), pki.client { $0.applicationProtocols = ["ttrpc"] }] {
        let error = try await refusal { try await connect(pki, configuration) }
        #expect(error.code == .nothingInCommon)
        #expect(error.message.contains("application protocol"))
      }
    }
    try await withServer(pki, pki.server()) { _ in
      let error = try await refusal { try await connect(pki, pki.client(), rpc: .grpc) }
      #expect(error.code == .nothingInCommon)
    }
  }

  @Test("A program's profile holds for all addresses, which still come before it")
  func programProfile() async throws {
    let pki = try TestPKI()
    func profile(_ name: String, _ rest: String) throws -> TLSLayer {
      let json = """
        {"ca": "ca.pem", "cert": "\(name).pem", "key": "\(name).key", \(rest)}
        """
      return try TLSLayer(profile: pki.directory.write("\(name).json", Array(json.utf8)))
    }
    let server = try profile(
      "server", #""clientcert": "optional", "servername": "other.example", "alpn": ["a", "b"]"#)
    let client = try profile("client", #""servername": "build-7.example", "alpn": "a""#)
    try await withServer(pki, pki.server(), layer: server) { _ in
      for (parameters, expected) in [([], "a"), ([("alpn", "b")], "b")] {
        let connection = try await connect(
          pki, pki.client(), layer: client, parameters: parameters)
        #expect(connection.tls?.alpn == expected)
        await connection.close()
      }
    }
  }

  @Test(
    "A program's profile that cannot work is refused at once",
    arguments: [
      (nil, "No such file"), (#"{"veryfy": "none"}"#, "veryfy"),
      (#"{"cert": "client.pem"}"#, "without a private key"),
      (#"{"ca": "ca.pem", "verify": "none"}"#, "verification is turned off"),
    ])
  func badProgramProfile(_ json: String?, _ word: String) throws {
    let pki = try TestPKI()
    if let json { try pki.directory.write("profile.json", Array(json.utf8)) }
    let error = #expect(throws: TransportError.self) {
      try TLSLayer(profile: pki.path("profile.json"))
    }
    #expect(error?.code == .invalidConfiguration)
    #expect(error?.description.contains(word) == true, "\(String(describing: error))")
  }
}
