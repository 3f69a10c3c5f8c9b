import Testing
import TransportCore

/// containerd's two-string form, whose rules differ from those of the one-string form.
@Suite struct ShimAddressTests {
  struct Row: Sendable, CustomTestStringConvertible {
    var name: String
    var text: String
    var place: TransportAddress.Place
    var testDescription: String { "\(name) \(text)" }

    init(_ name: String, _ text: String, _ place: TransportAddress.Place) {
      self.name = name
      self.text = text
      self.place = place
    }
  }

  static let rows: [Row] = [
    .init("ttrpc", "unix:///run/containerd/s/abc", .unix(path: "/run/containerd/s/abc")),
    .init("TTRPC", "unix:///x", .unix(path: "/x")),
    .init("ttrpc", "unix://@name", .abstract(name: "name")),
    .init("ttrpc", "vsock://3:1024", .vsock(cid: 3, port: 1024)),
    .init("grpc", "vsock://3:1024", .vsock(cid: 3, port: 1024)),
    .init("ttrpc", "hvsock:///p/x.vsock:1024", .hybridVsock(path: "/p/x.vsock", port: 1024)),
    .init("grpc", "unix:///x", .unix(path: "/x")),
    // Without "://": an abstract socket for ttrpc, also when it looks like a path.
    .init("ttrpc", "/run/a.sock", .abstract(name: "/run/a.sock")),
    .init("ttrpc", "name", .abstract(name: "name")),
    .init("ttrpc", "unix:/p", .abstract(name: "unix:/p")),
    .init("ttrpc", "@x", .abstract(name: "@x")),
    .init("grpc", "/run/x.sock", .unix(path: "/run/x.sock")),
    // Verbatim: what the one-string form would decode or take for parameters.
    .init("ttrpc", "unix:///st%41te?x=y", .unix(path: "/st%41te?x=y")),
    .init("grpc", "/st%41te?x", .unix(path: "/st%41te?x")),
    .init("ttrpc", "hvsock:///a%3A?:7", .hybridVsock(path: "/a%3A?", port: 7)),
    .init("ttrpc", "tls+vsock://3:1", .vsock(cid: 3, port: 1)),
    .init("ttrpc", "tcp://h:1", .tcp(host: "h", port: 1)),
  ]

  @Test("A shim's reply is read by containerd's rules", arguments: rows)
  func reads(row: Row) throws {
    let address = try TransportAddress(protocolName: row.name, shimAddress: row.text)
    #expect(address.place == row.place)
    #expect(address.rpc?.rawValue == row.name.lowercased())
    #expect(address.origin == .received)
  }

  @Test(
    "The address is written as containerd writes it",
    arguments: [
      ("ttrpc+unix:///run/a%20b%3F", "unix:///run/a b?"),
      ("ttrpc+unix://@abs", "unix://@abs"),
      ("grpc+vsock://3:1024", "vsock://3:1024"),
      ("ttrpc+hvsock:///a%3Ab:7", "hvsock:///a:b:7"),
      ("ttrpc+vsock://any:1024", "vsock://-1:1024"),
      ("ttrpc+vsock://3:1024?streaming_id=x", "vsock://3:1024"),
      ("ttrpc+tls://h:1?servername=x", "tls://h:1?servername=x"),
      ("ttrpc+tls+vsock://3:1", "tls+vsock://3:1"),
    ])
  func writes(text: String, expected: String) throws {
    #expect(try TransportAddress(parsing: text).shimAddress == expected)
  }

  @Test(
    "What containerd would misread or fail on is refused",
    arguments: [
      ("", "unix:///x"), ("http", "unix:///x"), ("trpc", "unix:///x"), ("ttrpc", ""),
      ("ttrpc", "unix://path"), ("ttrpc", "unix://"), ("ttrpc", "vsock://3:1024/"),
      ("ttrpc", "vsock://0x3:1"), ("ttrpc", "npipe://x"), ("grpc", "relative"), ("grpc", ""),
      ("ttrpc", "ttrpc+unix:///x"), ("ttrpc", "a\0b"), ("ttrpc", "unix:///a\0b"),
      ("ttrpc", String(repeating: "x", count: 108)),
      ("ttrpc", #"{"address":"unix:///x"}"#),
    ])
  func refuses(name: String, text: String) {
    let error = #expect(throws: TransportError.self) {
      try TransportAddress(protocolName: name, shimAddress: text)
    }
    #expect(error?.code == .invalidAddress)
  }

  @Test("A shim's reply cannot make this process open or run things")
  func received() {
    for text in ["fd://3", "exec://?arg=/bin/sh", "memory://x", "tls://h:1?key=/etc/shadow"] {
      let error = #expect(throws: TransportError.self) {
        try TransportAddress(protocolName: "ttrpc", shimAddress: text)
      }
      #expect(error?.code == .forbiddenAddress)
    }
  }
}
