import Testing
import TransportCore

/// Address strings of containerd, kata, Kuasar, ttrpc and others, with what strict parsing makes of
/// them.
@Suite struct AddressTableTests {
  struct Accepted: Sendable, CustomTestStringConvertible {
    var text: String
    var address: TransportAddress
    /// When it is not `text`.
    var canonical: String?
    var testDescription: String { text }

    init(_ text: String, _ address: TransportAddress, canonical: String? = nil) {
      self.text = text
      self.address = address
      self.canonical = canonical
    }
  }

  static let hash = String(repeating: "0123456789abcdef", count: 4)

  static let accepted: [Accepted] = [
    // containerd: sandbox and task endpoints.
    .init("ttrpc+unix:///run/x.sock", .init(rpc: .ttrpc, place: .unix(path: "/run/x.sock"))),
    .init("ttrpc+unix:///a/b", .init(rpc: .ttrpc, place: .unix(path: "/a/b"))),
    .init("ttrpc+unix:///run/pod.sock", .init(rpc: .ttrpc, place: .unix(path: "/run/pod.sock"))),
    .init("grpc+unix:///x", .init(rpc: .grpc, place: .unix(path: "/x"))),
    .init("grpc+vsock://3:1024", .init(rpc: .grpc, place: .vsock(cid: 3, port: 1024))),
    .init("ttrpc+vsock://3:1024", .init(rpc: .ttrpc, place: .vsock(cid: 3, port: 1024))),
    .init(
      "ttrpc+hvsock:///p/x.vsock:1024",
      .init(rpc: .ttrpc, place: .hybridVsock(path: "/p/x.vsock", port: 1024))),
    .init(
      "grpc+hvsock:///run/vm.vsock:1024",
      .init(rpc: .grpc, place: .hybridVsock(path: "/run/vm.vsock", port: 1024))),
    // containerd cuts this one at the "+" of the path; the address is a unix socket all the same.
    .init("unix:///tmp/a+b", .init(place: .unix(path: "/tmp/a+b"))),
    .init("unix:///a", .init(place: .unix(path: "/a"))),
    // What its stream opener rebuilds.
    .init("unix:////p", .init(place: .unix(path: "//p"))),
    .init("hvsock:////p:1024", .init(place: .hybridVsock(path: "//p", port: 1024))),
    // Stream IO, containerd's and Kuasar's.
    .init(
      "ttrpc+vsock://3:1024?streaming_id=x",
      .init(
        rpc: .ttrpc, place: .vsock(cid: 3, port: 1024), parameters: [.init("streaming_id", "x")])),
    .init(
      "ttrpc+hvsock:///p:1024?streaming_id=x",
      .init(
        rpc: .ttrpc, place: .hybridVsock(path: "/p", port: 1024),
        parameters: [.init("streaming_id", "x")])),
    .init(
      "ttrpc+unix:///p?id=x",
      .init(rpc: .ttrpc, place: .unix(path: "/p"), parameters: [.init("id", "x")])),
    // Shim replies and bootstrap files.
    .init("unix:///abs", .init(place: .unix(path: "/abs"))),
    .init("vsock://3:1", .init(place: .vsock(cid: 3, port: 1))),
    .init("hvsock:///uds:1024", .init(place: .hybridVsock(path: "/uds", port: 1024))),
    .init("hvsock:///a/b:1024", .init(place: .hybridVsock(path: "/a/b", port: 1024))),
    .init(
      "unix:///run/containerd/s/\(hash)", .init(place: .unix(path: "/run/containerd/s/\(hash)"))),
    .init(
      "unix://@/containerd-shim/\(hash).sock",
      .init(place: .abstract(name: "/containerd-shim/\(hash).sock"))),
    .init(
      "unix://@/containerd-shim/default/web/shim.sock",
      .init(place: .abstract(name: "/containerd-shim/default/web/shim.sock"))),
    .init(
      "vsock://4294967294:4294967295",
      .init(place: .vsock(cid: 4_294_967_294, port: .max))),
    .init(
      "vsock://03:0001024", .init(place: .vsock(cid: 3, port: 1024)), canonical: "vsock://3:1024"),
    // ttrpc's own.
    .init("unix://@abs", .init(place: .abstract(name: "abs"))),
    .init("tcp://127.0.0.1:7777", .init(place: .tcp(host: "127.0.0.1", port: 7777))),
    .init(
      "vsock://-1:1024", .init(place: .vsock(cid: nil, port: 1024)), canonical: "vsock://any:1024"),
    // kata and Kuasar.
    .init(
      "hvsock:///run/vc/vm/8f/clh.sock:1024",
      .init(place: .hybridVsock(path: "/run/vc/vm/8f/clh.sock", port: 1024))),
    .init(
      "vsock://4294967295:1025", .init(place: .vsock(cid: nil, port: 1025)),
      canonical: "vsock://any:1025"),
    .init("vsock://any:1024", .init(place: .vsock(cid: nil, port: 1024))),
    // Ours.
    .init(
      "ttrpc+tls://build-7:9443",
      .init(rpc: .ttrpc, layers: ["tls"], place: .tcp(host: "build-7", port: 9443))),
    .init(
      "grpc+tls+tcp://host:1",
      .init(rpc: .grpc, layers: ["tls"], place: .tcp(host: "host", port: 1)),
      canonical: "grpc+tls://host:1"),
    .init(
      "ttrpc+tls+vsock://3:1024",
      .init(rpc: .ttrpc, layers: ["tls"], place: .vsock(cid: 3, port: 1024))),
    .init("tls+unix:///run/x", .init(layers: ["tls"], place: .unix(path: "/run/x"))),
    .init(
      "tls+hvsock:///run/v.sock:1024",
      .init(layers: ["tls"], place: .hybridVsock(path: "/run/v.sock", port: 1024))),
    .init("tcp://[::1]:80", .init(place: .tcp(host: "::1", port: 80))),
    .init("tcp://[fe80::1%25eth0]:80", .init(place: .tcp(host: "fe80::1%eth0", port: 80))),
    .init("tcp://0.0.0.0:0", .init(place: .tcp(host: "0.0.0.0", port: 0))),
    .init("fd://3", .init(place: .descriptor(3))),
    .init("memory://test", .init(place: .memory(name: "test"))),
    .init(
      "exec://?arg=/usr/bin/ssh&arg=host&env=A=b",
      .init(
        place: .exec,
        parameters: [.init("arg", "/usr/bin/ssh"), .init("arg", "host"), .init("env", "A=b")])),
    .init(
      "tls://h:1?servername=build-7",
      .init(
        layers: ["tls"], place: .tcp(host: "h", port: 1),
        parameters: [.init("servername", "build-7")])),
    // The last colon divides; one in the path is encoded when printed.
    .init(
      "hvsock:///run/a:b:5", .init(place: .hybridVsock(path: "/run/a:b", port: 5)),
      canonical: "hvsock:///run/a%3Ab:5"),
    .init(
      "unix:///run/a%3fb%25", .init(place: .unix(path: "/run/a?b%")),
      canonical: "unix:///run/a%3Fb%25"),
    .init("unix:///run/a b", .init(place: .unix(path: "/run/a b")), canonical: "unix:///run/a%20b"),
    .init("unix:///run/a%0Ab", .init(place: .unix(path: "/run/a\nb"))),
    .init("unix:///run/λ/#x", .init(place: .unix(path: "/run/λ/#x"))),
  ]

  @Test("Every documented address is read and printed canonically", arguments: accepted)
  func accepts(row: Accepted) throws {
    let address = try TransportAddress(parsing: row.text)
    #expect(address == row.address)
    #expect(address.rpc == row.address.rpc)
    #expect(address.layers == row.address.layers)
    #expect(address.place == row.address.place)
    #expect(address.parameters == row.address.parameters)
    #expect(address.text == row.canonical ?? row.text)
    #expect(try TransportAddress(parsing: address.text) == address)
  }

  struct Refused: Sendable, CustomTestStringConvertible {
    var text: String
    var position: Int
    /// A part of the error's message or hint.
    var says: String
    var testDescription: String { text }

    init(_ text: String, at position: Int, _ says: String) {
      self.text = text
      self.position = position
      self.says = says
    }
  }

  static let refused: [Refused] = [
    // containerd's sloppy forms.
    .init(
      "ttrpc+unix://path/to/uds", at: 13, "did you mean ttrpc+unix:///path/to/uds (three slashes)?"),
    .init("unix://path", at: 7, "did you mean unix:///path (three slashes)?"),
    .init("unix://abs/", at: 7, "relative"),
    .init("hvsock://path:1024", at: 9, "did you mean hvsock:///path:1024 (three slashes)?"),
    .init("grpc+/run/x.sock", at: 0, "did you mean grpc+unix:///run/x.sock?"),
    .init("/run/a.sock", at: 0, "did you mean unix:///run/a.sock?"),
    .init("@name", at: 0, "did you mean unix://@name?"),
    .init("vsock://3:1024/", at: 10, "did you mean vsock://3:1024?"),
    .init("vsock://3:1024/?streaming_id=x", at: 10, "did you mean vsock://3:1024"),
    .init("grpc+vsock://:", at: 13, "expected a number in base 10, or \"any\""),
    .init("TTRPC+unix:///x", at: 0, "did you mean ttrpc+unix:///x?"),
    .init("ttrpc+UNIX:///x", at: 6, "did you mean ttrpc+unix:///x?"),
    .init("ttrpc+", at: 0, "such as ttrpc+unix:///run/x"),
    .init("ttrpc+://x", at: 6, "\"+\" is not followed by a name"),
    .init("ttrpc++unix:///x", at: 6, "\"+\" is not followed by a name"),
    .init("+unix:///x", at: 0, "did you mean ttrpc+unix:///x?"),
    .init("://x", at: 0, "a name is missing"),
    .init("unix:/p", at: 0, "did you mean unix:///p (three slashes)?"),
    .init("", at: 0, "there is nothing"),
    .init("\\\\.\\pipe\\containerd", at: 0, "Windows"),
    .init("npipe://./pipe/x", at: 0, "Windows"),
    // Numbers.
    .init("vsock://0x3:1", at: 8, "base 10"),
    .init("vsock://+3:1", at: 8, "base 10"),
    .init("vsock:// 3:1", at: 8, "base 10"),
    .init("vsock://1_0:1", at: 8, "base 10"),
    .init("vsock://3:-1", at: 10, "base 10"),
    .init("vsock://-2:1", at: 8, "base 10"),
    .init("vsock://4294967296:1", at: 8, "0 to 4294967295"),
    .init("vsock://3:4294967296", at: 10, "0 to 4294967295"),
    .init("vsock://3:99999999999999999999999999999", at: 10, "0 to 4294967295"),
    .init("vsock://3", at: 9, "cid:port"),
    .init("vsock://:1024", at: 8, "\"any\""),
    .init("vsock://3:", at: 10, "base 10"),
    .init("vsock://3:1:2", at: 10, "base 10"),
    .init("hvsock:///run/vm.vsock", at: 22, "did you mean hvsock:///run/vm.vsock:1024?"),
    .init("hvsock://:1024", at: 9, "the place is missing"),
    .init("hvsock:///run/x:", at: 16, "base 10"),
    .init("fd://-1", at: 5, "base 10"),
    .init("fd://2147483648", at: 5, "0 to 2147483647"),
    // kata's and others' schemes.
    .init("remote:///run/x", at: 0, "did you mean unix:///run/x?"),
    .init("mock:///x", at: 0, "neither a protocol nor a transport"),
    .init("unix-abstract:name", at: 0, "did you mean unix://@name?"),
    .init("vsock:3:1024", at: 0, "did you mean vsock://3:1024?"),
    .init("vsock-mux:///p:1", at: 0, "did you mean hvsock:///p:1?"),
    .init("ssh://user@host", at: 0, "exec://"),
    .init("http://host:1", at: 0, "HTTP"),
    // Slips.
    .init("trpc+unix:///x", at: 0, "did you mean ttrpc+unix:///x?"),
    .init("ttrcp+unix:///x", at: 0, "did you mean ttrpc+unix:///x?"),
    .init("ttrpc+unxi:///x", at: 6, "did you mean ttrpc+unix:///x?"),
    .init("ttrpc+vscok://3:1", at: 6, "did you mean ttrpc+vsock://3:1?"),
    .init("ttrpc:///run/x", at: 0, "did you mean ttrpc+unix:///run/x?"),
    .init("ttrpc://3:1024", at: 0, "ttrpc+vsock"),
    .init("ttrpc+grpc+unix:///x", at: 6, "can only come first"),
    .init("unix+ttrpc:///x", at: 0, "not a layer"),
    .init("tls+ttrpc://h:1", at: 4, "can only come first"),
    .init("vsock+tls://3:1", at: 0, "layers come outermost first"),
    .init("tls+tls://h:1", at: 4, "there already"),
    .init("ttrpc unix:///x", at: 5, "cannot be part"),
    // Paths.
    .init("unix://", at: 7, "a path, or \"@\""),
    .init("unix:///", at: 7, "directory"),
    .init("unix:///run/", at: 7, "directory"),
    .init("unix://@", at: 7, "the place is missing"),
    .init("unix:///run/%zz", at: 12, "%25"),
    .init("unix:///run/%2", at: 12, "%25"),
    .init("unix:///run/%ff", at: 7, "UTF-8"),
    .init("unix:///run/%00", at: 12, "NUL"),
    .init("unix:///run/\0x", at: 12, "NUL"),
    .init("unix:///run/a\tb", at: 13, "0x09"),
    .init("unix:///run/x\n", at: 13, "white space"),
    .init(" unix:///run/x", at: 0, "white space"),
    // TCP.
    .init("tcp://host", at: 10, "the port is missing"),
    .init("tcp://host:", at: 11, "base 10"),
    .init("tcp://host:65536", at: 11, "0 to 65535"),
    .init("tcp://host:80/", at: 13, "did you mean tcp://host:80?"),
    .init("tcp://host:80/x", at: 13, "follows the port"),
    .init("tcp://::1:80", at: 6, "did you mean tcp://[::1]:80?"),
    .init("tcp://[::1:80", at: 6, "never closed"),
    .init("tcp://[::1]", at: 11, "the port is missing"),
    .init("tcp://[::g]:1", at: 7, "not an IPv6"),
    .init("tcp://[]:1", at: 7, "not an IPv6"),
    .init("tcp://1.2.3.256:1", at: 6, "not an IPv4"),
    .init("tcp://:80", at: 6, "0.0.0.0"),
    .init("tcp://ho$t:80", at: 8, "cannot be part of a host"),
    .init("tls://user@host:1", at: 6, "user"),
    // The rest.
    .init("memory://", at: 9, "the place is missing"),
    .init("exec:///usr/bin/ssh?arg=x", at: 7, "exec://?arg="),
    .init("exec://", at: 7, "exec://?arg="),
    .init("unix:///x?", at: 9, "nothing follows"),
    .init("unix:///x?a", at: 10, "no value"),
    .init("unix:///x?=a", at: 10, "no name"),
    .init("unix:///x?a=b&", at: 14, "no name"),
  ]

  @Test("A text that is no address is refused with position and reason", arguments: refused)
  func refuses(row: Refused) {
    let error = #expect(throws: TransportError.self) { try TransportAddress(parsing: row.text) }
    #expect(error?.code == .invalidAddress)
    #expect(error?.position == row.position)
    let words = "\(error?.message ?? "") \(error?.hint ?? "")"
    #expect(words.contains(row.says), "\(words)")
  }

  @Test("What is too long is refused before it is read")
  func bounds() {
    let long = String(repeating: "x", count: 8193)
    for text in [
      "unix:///" + long, "unix:///" + String(repeating: "a", count: 4096),
      "unix://@" + String(repeating: "a", count: 108),
      "tcp://" + String(repeating: "a", count: 254) + ":1",
      "unix:///x?" + Array(repeating: "a=b", count: 257).joined(separator: "&"),
    ] {
      let error = #expect(throws: TransportError.self) { try TransportAddress(parsing: text) }
      #expect(error?.code == .invalidAddress)
      #expect((error?.description.utf8.count ?? 0) < 1024)
    }
    #expect(throws: Never.self) {
      _ = try TransportAddress(parsing: "unix://@" + String(repeating: "a", count: 107))
      _ = try TransportAddress(parsing: "unix:///" + String(repeating: "a", count: 4094))
    }
  }

  @Test("A custom transport keeps its place verbatim and may have layers")
  func custom() throws {
    let address = try TransportAddress(
      parsing: "ttrpc+tls+pigeon://coop:7/%zz?speed=slow", customTransports: ["pigeon"])
    #expect(address.place == .other(transport: "pigeon", place: "coop:7/%zz"))
    #expect(address.layers == ["tls"])
    #expect(address.transport == "pigeon")
    #expect(address.text == "ttrpc+tls+pigeon://coop:7/%zz?speed=slow")
    let error = #expect(throws: TransportError.self) {
      try TransportAddress(parsing: "pigoen://coop", customTransports: ["pigeon"])
    }
    #expect(error?.hint == "did you mean pigeon://coop?")
  }
}
