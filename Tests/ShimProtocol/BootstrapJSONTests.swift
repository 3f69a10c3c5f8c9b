import Testing
import TransportCore

@testable import ShimProtocol

@Suite("bootstrap.json")
struct BootstrapJSONTests {
  @Test("it is written as containerd writes it, without zero values")
  func text() {
    let params = BootstrapParams(version: 3, address: "unix:///a", protocolName: "ttrpc")
    #expect(
      String(decoding: params.json, as: UTF8.self)
        == #"{"version":3,"address":"unix:///a","protocol":"ttrpc"}"#)
    let full = BootstrapParams(
      version: 3, address: "/q\"\\", protocolName: "grpc", capabilities: [1, -2],
      metadata: ["b": "2\n", "a": "\u{0}ü"])
    #expect(
      String(decoding: full.json, as: UTF8.self)
        == #"{"version":3,"address":"/q\"\\","protocol":"grpc","capabilities":[1,-2],"#
        + #""metadata":{"a":"\u0000ü","b":"2\u000a"}}"#)
    #expect(
      BootstrapParams(version: 0, address: "", protocolName: "").json == Array("{}".utf8))
  }

  @Test("parse(print(params)) gives the params back")
  func roundTrip() async throws {
    var generator = SystemRandomNumberGenerator()
    func text(_ lengths: ClosedRange<Int>) -> String {
      var text = ""
      for _ in 0..<Int.random(in: lengths, using: &generator) {
        let plane: ClosedRange<UInt32> =
          Bool.random(using: &generator) ? 0...0x7f : 0x80...0x10_ffff
        // A surrogate is no scalar: then one that needs escaping instead.
        let scalar = Unicode.Scalar(UInt32.random(in: plane, using: &generator)) ?? "\\"
        text.unicodeScalars.append(scalar)
      }
      return text
    }
    for round in 0..<5_000 {
      // Other tests want the threads, too.
      if round % 64 == 0 { await Task.yield() }
      let params = BootstrapParams(
        version: Int.random(in: 0...4, using: &generator), address: text(0...40),
        protocolName: ["ttrpc", "grpc", ""].randomElement(using: &generator) ?? "",
        capabilities: (0..<Int.random(in: 0...3, using: &generator)).map { _ in
          Int32.random(in: .min ... .max, using: &generator)
        },
        metadata: Dictionary(
          (0..<Int.random(in: 0...3, using: &generator)).map { _ in (text(0...9), text(0...9)) },
          uniquingKeysWith: { first, _ in first }))
      let read = try BootstrapParams(json: params.json)
      #expect(read == params)
      #expect(read.address.utf8.elementsEqual(params.address.utf8))
    }
  }

  @Test(
    "the endpoint is the address that a client dials",
    arguments: [
      (BootstrapParams(version: 3, address: "unix:///run/a", protocolName: "ttrpc"), "unix"),
      (BootstrapParams(version: 2, address: "/run/a", protocolName: "ttrpc"), "abstract"),
      (BootstrapParams(version: 3, address: "vsock://3:1024", protocolName: "grpc"), "vsock"),
    ])
  func endpoint(params: BootstrapParams, kind: String) throws {
    let endpoint = try params.endpoint()
    #expect(endpoint.rpc?.rawValue == params.protocolName)
    switch endpoint.place {
    case .unix(let path): #expect(kind == "unix" && path == "/run/a")
    case .abstract(let name): #expect(kind == "abstract" && name == "/run/a")
    case .vsock(let cid, let port): #expect(kind == "vsock" && cid == 3 && port == 1024)
    default: Issue.record("\(endpoint)")
    }
  }

  @Test("an endpoint from a bundle may not name a descriptor or a command")
  func forbidden() {
    for address in ["fd://3", "exec://?command=sh", "memory://x"] {
      let params = BootstrapParams(version: 3, address: address, protocolName: "ttrpc")
      #expect(throws: TransportError.self) { try params.endpoint() }
    }
  }
}
