import Testing
import TransportCore

@Suite struct LenientAddressTests {
  typealias Kind = TransportAddress.Correction.Kind

  struct Row: Sendable, CustomTestStringConvertible {
    var text: String
    var read: String
    var kinds: [Kind]
    var testDescription: String { text }

    init(_ text: String, _ read: String, _ kinds: Kind...) {
      self.text = text
      self.read = read
      self.kinds = kinds
    }
  }

  static let rows: [Row] = [
    .init("ttrpc+unix:///x", "ttrpc+unix:///x"),
    .init("ttrpc+unix://path/to/uds", "ttrpc+unix:///path/to/uds", .twoSlashPath),
    .init("unix://run/x?id=1", "unix:///run/x?id=1", .twoSlashPath),
    .init("hvsock://p/x:1024", "hvsock:///p/x:1024", .twoSlashPath),
    .init("unix://@abs", "unix://@abs"),
    .init("vsock://3:1024/", "vsock://3:1024", .strayTrailingSlash),
    .init(
      "ttrpc+vsock://3:1024/?streaming_id=x", "ttrpc+vsock://3:1024?streaming_id=x",
      .strayTrailingSlash),
    .init("tcp://h:1/", "tcp://h:1", .strayTrailingSlash),
    .init("TTRPC+unix:///X", "ttrpc+unix:///X", .upperCaseName),
    .init("GRPC+VSOCK://3:1024", "grpc+vsock://3:1024", .upperCaseName),
    // A bare path: a file for gRPC, an abstract name for ttrpc, as containerd dials them.
    .init("grpc+/run/x.sock", "grpc+unix:///run/x.sock", .barePath),
    .init("/run/x.sock", "unix:///run/x.sock", .barePath),
    .init("/run/100%?", "unix:///run/100%25%3F", .barePath),
    .init("ttrpc+/run/a.sock", "ttrpc+unix://@/run/a.sock", .bareName),
    .init("ttrpc+@a", "ttrpc+unix://@a", .bareName),
    .init("Ttrpc+name", "ttrpc+unix://@name", .upperCaseName, .bareName),
    .init("@name", "unix://@name", .bareName),
    // gRPC's own spellings.
    .init("unix:/p", "unix:///p", .missingSlashes),
    .init("unix:p/q", "unix:///p/q", .missingSlashes),
    .init("unix-abstract:name", "unix://@name", .abstractScheme),
    .init("vsock:3:1024", "vsock://3:1024", .missingSlashes),
    .init("ttrpc+vsock:3:1024/", "ttrpc+vsock://3:1024", .missingSlashes, .strayTrailingSlash),
    .init(" unix:///x\n", "unix:///x", .outerWhitespace),
    .init("unix:///x?", "unix:///x", .emptyParameters),
    .init("unix:///run/100%/x%20y", "unix:///run/100%25/x%20y", .barePercent),
  ]

  @Test("A sloppy form is put right, and said to be", arguments: rows)
  func corrects(row: Row) throws {
    let (address, corrections) = try TransportAddress.parseLenient(row.text)
    #expect(address.text == row.read)
    #expect(corrections.map(\.kind) == row.kinds)
    #expect(corrections.allSatisfy { !$0.description.isEmpty })
    // What was corrected is not of the strict grammar, and what was not is.
    if row.kinds.isEmpty {
      #expect(try TransportAddress(parsing: row.text) == address)
    } else {
      #expect(throws: TransportError.self) { try TransportAddress(parsing: row.text) }
    }
  }

  @Test(
    "What cannot be guessed stays an error",
    arguments: [
      "", " ", "ttrpc+", "grpc+relative", "name", "+unix:///x", "ftp://x", "vsock://3", "unix://",
      "tcp://host", "vsock://3:x/", "unix:///run/", "\\\\.\\pipe\\x", "ttrpc://x", "a\0b",
    ])
  func refuses(text: String) {
    let error = #expect(throws: TransportError.self) { try TransportAddress.parseLenient(text) }
    #expect(error?.code == .invalidAddress)
  }

  @Test("Leniency does not lift what a received address may be")
  func received() {
    let error = #expect(throws: TransportError.self) {
      try TransportAddress.parseLenient("fd:3", origin: .received)
    }
    #expect(error?.code == .forbiddenAddress)
  }
}
