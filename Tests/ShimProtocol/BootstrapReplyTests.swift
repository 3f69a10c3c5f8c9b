import ContainerdAPI
import SwiftProtobuf
import Testing

@testable import ShimProtocol

@Suite("BootstrapReply")
struct BootstrapReplyTests {
  struct Accepted: Sendable, CustomTestStringConvertible {
    var reply: [UInt8]
    var dialect: BootstrapReply.Dialect
    var params: BootstrapParams
    var testDescription: String { quoted(reply) }

    init(_ text: String, _ dialect: BootstrapReply.Dialect, _ params: BootstrapParams) {
      self.init(Array(text.utf8), dialect, params)
    }

    init(_ reply: [UInt8], _ dialect: BootstrapReply.Dialect, _ params: BootstrapParams) {
      self.reply = reply
      self.dialect = dialect
      self.params = params
    }
  }

  private static func params(
    _ version: Int, _ protocolName: String, _ address: String
  ) -> BootstrapParams {
    BootstrapParams(version: version, address: address, protocolName: protocolName)
  }

  static let accepted: [Accepted] = [
    // The bare address: version 2, ttrpc, without the space around it.
    .init("unix:///run/s/a.sock", .plain, params(2, "ttrpc", "unix:///run/s/a.sock")),
    .init("unix:///run/s/a.sock\n", .plain, params(2, "ttrpc", "unix:///run/s/a.sock")),
    .init("\n  unix:///run/s/a\r\n", .plain, params(2, "ttrpc", "unix:///run/s/a")),
    .init("/containerd-shim/ab.sock", .plain, params(2, "ttrpc", "/containerd-shim/ab.sock")),
    .init("@name", .plain, params(2, "ttrpc", "@name")),
    .init("vsock://3:1024", .plain, params(2, "ttrpc", "vsock://3:1024")),
    .init("hvsock:///run/v.sock:10", .plain, params(2, "ttrpc", "hvsock:///run/v.sock:10")),
    .init("unix:///run/schiff-ü", .plain, params(2, "ttrpc", "unix:///run/schiff-ü")),
    // JSON.
    .init(
      #"{"version":3,"address":"unix:///a","protocol":"ttrpc"}"#, .json,
      params(3, "ttrpc", "unix:///a")),
    .init(
      #"{"version":2,"address":"/x","protocol":"ttrpc"}"# + "\n", .json, params(2, "ttrpc", "/x")),
    .init(
      #"{"Version":3,"ADDRESS":"unix:///a b","Protocol":"GRPC","later":{"x":[1]}}"#, .json,
      params(3, "grpc", "unix:///a b")),
    .init(
      #" { "address" : "vsock:\/\/3:1024", "protocol":"grpc", "version": 3 } "#, .json,
      params(3, "grpc", "vsock://3:1024")),
    .init(
      #"{"version":3,"address":"/x","protocol":"ttrpc","capabilities":[0,7],"metadata":{"k":"v"}}"#,
      .json,
      BootstrapParams(
        version: 3, address: "/x", protocolName: "ttrpc", capabilities: [0, 7],
        metadata: ["k": "v"])),
    .init(
      #"{"version":3,"address":"/x","protocol":"ttrpc","capabilities":null,"metadata":null}"#,
      .json, params(3, "ttrpc", "/x")),
    // Protobuf: version 3, unix:///a, ttrpc.
    .init(
      [0x08, 3, 0x12, 9] + Array("unix:///a".utf8) + [0x1a, 5] + Array("ttrpc".utf8), .protobuf,
      params(3, "ttrpc", "unix:///a")),
    // Its last byte is that of a newline, and belongs to it.
    .init(
      [0x08, 2, 0x1a, 5] + Array("ttrpc".utf8) + [0x12, 2] + Array("/a".utf8)
        + [0x22, 1, 0x0a], .protobuf,
      BootstrapParams(version: 2, address: "/a", protocolName: "ttrpc", capabilities: [10])),
    // A field of a later release, and an entry of the metadata.
    .init(
      [0x08, 3, 0x12, 2] + Array("/a".utf8) + [0x1a, 4] + Array("grpc".utf8)
        + [0x2a, 6, 0x0a, 1, 0x6b, 0x12, 1, 0x76] + [0xfa, 1, 2, 1, 2], .protobuf,
      BootstrapParams(
        version: 3, address: "/a", protocolName: "grpc", metadata: ["k": "v"])),
  ]

  @Test("each dialect is read, and told apart", arguments: accepted)
  func accepts(_ row: Accepted) throws {
    let reply = try BootstrapReply(row.reply)
    #expect(reply.dialect == row.dialect)
    #expect(reply.params == row.params)
    #expect(try BootstrapParams(reply: row.reply) == row.params)
  }

  static let refused: [(String, ShimProtocolError.Code)] = [
    ("", .emptyReply),
    (" \r\n\t", .emptyReply),
    // Warnings around an address.
    ("time=\"…\" level=warning msg=\"x\"\nunix:///run/a", .unclearReply),
    ("unix:///run/a\nwarning", .unclearReply),
    ("unix:///run/a\nunix:///run/b\n", .unclearReply),
    ("warning: slow disk unix:///run/a", .unclearReply),
    ("unix:///run/a is in use", .unclearReply),
    ("warning {\"version\":3}", .unclearReply),
    ("Killed", .unclearReply),
    ("panic:", .unclearReply),
    ("unix://", .unclearReply),
    ("://x", .unclearReply),
    ("1unix:///x", .unclearReply),
    ("\"unix:///run/a\"", .unclearReply),
    ("[3]", .unclearReply),
    ("unix:///run/\u{1b}[31ma", .unclearReply),
    ("unix:///run/\u{202e}a", .unclearReply),
    ("/run/a\0b", .unclearReply),
    // Damaged JSON is not an address.
    ("{", .damagedReply),
    ("{}x", .damagedReply),
    (#"{"version":3,"address":"/x","protocol":"ttrpc""#, .damagedReply),
    (#"{"version":3,"address":"/x","protocol":"ttrpc"} warning"#, .damagedReply),
    (#"{"version":"3","address":"/x","protocol":"ttrpc"}"#, .damagedReply),
    (#"{"version":2.5,"address":"/x","protocol":"ttrpc"}"#, .damagedReply),
    (#"{"version":3,"address":7,"protocol":"ttrpc"}"#, .damagedReply),
    (#"{"version":3,"Version":2,"address":"/x","protocol":"ttrpc"}"#, .damagedReply),
    (#"{"version":3,"address":"/x","protocol":"ttrpc","capabilities":["A"]}"#, .damagedReply),
    (#"{"version":3,"address":"/x","protocol":"ttrpc","metadata":{"a":1}}"#, .damagedReply),
    (#"{"version":3,"protocol":"ttrpc"}"#, .damagedReply),
    (#"{"version":3,"address":"","protocol":"ttrpc"}"#, .damagedReply),
    (#"{"version":3,"address":"/x\n/y","protocol":"ttrpc"}"#, .damagedReply),
    // Versions and protocols.
    ("{}", .unsupportedVersion),
    (#"{"address":"/x","protocol":"ttrpc"}"#, .unsupportedVersion),
    (#"{"version":0,"address":"/x","protocol":"ttrpc"}"#, .unsupportedVersion),
    (#"{"version":1,"address":"/x","protocol":"ttrpc"}"#, .unsupportedVersion),
    (#"{"version":-3,"address":"/x","protocol":"ttrpc"}"#, .unsupportedVersion),
    (#"{"Version":4,"address":"/x","protocol":"ttrpc"}"#, .unsupportedVersion),
    (#"{"version":2,"address":"/x","protocol":"grpc"}"#, .unsupportedProtocol),
    (#"{"version":3,"address":"/x"}"#, .unsupportedProtocol),
    (#"{"version":3,"address":"/x","protocol":"http"}"#, .unsupportedProtocol),
  ]

  @Test("what is not one dialect for certain is an error that quotes it", arguments: refused)
  func refuses(text: String, code: ShimProtocolError.Code) {
    let error = #expect(throws: ShimProtocolError.self) { try BootstrapReply(Array(text.utf8)) }
    #expect(error?.code == code, "\(text)")
    if code != .emptyReply {
      // What is quoted is escaped, so a piece without anything to escape is looked for.
      let piece = text.split { !$0.isLetter }.max { $0.count < $1.count } ?? ""
      #expect(error?.description.contains(piece) == true, "\(error?.description ?? "")")
    }
    let lines = error?.description.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines?.count == 1, "a message is one line")
  }

  static let refusedMessages: [([UInt8], ShimProtocolError.Code)] = [
    // Version 5; version 0 with an address; grpc with version 2; no address.
    ([0x08, 5, 0x12, 2, 0x2f, 0x61, 0x1a, 5] + Array("ttrpc".utf8), .unsupportedVersion),
    ([0x12, 2, 0x2f, 0x61, 0x1a, 5] + Array("ttrpc".utf8), .unsupportedVersion),
    ([0x08, 2, 0x12, 2, 0x2f, 0x61, 0x1a, 4] + Array("grpc".utf8), .unsupportedProtocol),
    ([0x08, 3, 0x1a, 5] + Array("ttrpc".utf8), .damagedReply),
    // Cut off, behind a warning, and not text at all.
    ([0x08, 3, 0x12, 9, 0x75, 0x6e], .unclearReply),
    (Array("oops\n".utf8) + [0x08, 3, 0x12, 2, 0x2f, 0x61], .unclearReply),
    ([0xff, 0xfe, 0x00], .unclearReply),
  ]

  @Test("a message that cannot be used is an error", arguments: refusedMessages)
  func refusesMessage(reply: [UInt8], code: ShimProtocolError.Code) {
    let error = #expect(throws: ShimProtocolError.self) { try BootstrapReply(reply) }
    #expect(error?.code == code, "\(quoted(reply))")
  }

  @Test("a huge reply is refused before it is parsed, and quoted only in part")
  func huge() {
    let reply = [UInt8](repeating: UInt8(ascii: "x"), count: BootstrapReply.maximumSize + 1)
    let error = #expect(throws: ShimProtocolError.self) { try BootstrapReply(reply) }
    #expect(error?.code == .unclearReply)
    #expect((error?.description.utf8.count ?? 0) < 600)
  }

  @Test("what a containerd 2.3 shim prints is read as it was written")
  func generated() throws {
    let result = Containerd_Runtime_Bootstrap_V1_BootstrapResult.with {
      $0.version = 3
      $0.address = "unix:///run/containerd/s/0a"
      $0.protocol = "ttrpc"
      $0.capabilities = [.unspecified, .UNRECOGNIZED(-1)]
      $0.metadata = ["a": "1", "b": ""]
    }
    let reply = try BootstrapReply(result.serializedBytes())
    #expect(reply.dialect == .protobuf)
    #expect(reply.params.capabilities == [0, -1])
    #expect(reply.params.metadata == ["a": "1", "b": ""])
  }

  @Test("no bytes trap the parser")
  func random() async {
    var generator = SystemRandomNumberGenerator()
    let seeds = Self.accepted.map(\.reply)
    for round in 0..<20_000 {
      // Other tests want the threads, too.
      if round % 64 == 0 { await Task.yield() }
      var reply = seeds[round % seeds.count]
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let index = Int.random(in: 0..<max(reply.count, 1), using: &generator)
        switch Int.random(in: 0..<3, using: &generator) {
        case 0 where !reply.isEmpty:
          reply[index] = UInt8.random(in: .min ... .max, using: &generator)
        case 1 where !reply.isEmpty: reply.remove(at: index)
        default: reply.insert(.random(in: .min ... .max, using: &generator), at: index)
        }
      }
      do {
        let params = try BootstrapReply(reply).params
        #expect(throws: Never.self) { try params.validate() }
      } catch {
        #expect(!error.message.isEmpty)
      }
    }
  }
}
