import Testing
import TransportCore

@Suite struct AddressRoundTripTests {
  @Test("What is printed is read as the same address", arguments: 0..<8)
  func roundTrip(seed: Int) async throws {
    var addresses = AddressGenerator(seed: UInt64(seed))
    for round in 0..<2500 {
      // Other tests want the threads, too.
      if round % 64 == 0 { await Task.yield() }
      let address = addresses.next()
      let text = address.text
      let parsed = try TransportAddress(parsing: text, customTransports: ["pigeon"])
      try #require(parsed == address, "\(text)")
      try #require(parsed.place == address.place && parsed.parameters == address.parameters)
      try #require(parsed.hashValue == address.hashValue)
      // The lenient mode means the same, and has nothing to correct.
      let (lenient, corrections) = try TransportAddress.parseLenient(
        text, customTransports: ["pigeon"])
      try #require(lenient == address && corrections.isEmpty)
    }
  }

  @Test("The split form is read as the same address, but for parameters", arguments: 0..<4)
  func splitForm(seed: Int) async throws {
    var addresses = AddressGenerator(seed: UInt64(seed) + 1000)
    for round in 0..<2500 {
      // Other tests want the threads, too.
      if round % 64 == 0 { await Task.yield() }
      var address = addresses.next()
      guard let rpc = address.rpc, address.transport != "pigeon" else { continue }
      let parsed = try TransportAddress(
        protocolName: rpc.rawValue, shimAddress: address.shimAddress, origin: .configured)
      if address.layers.isEmpty, ["unix", "vsock", "hvsock"].contains(address.transport) {
        address.parameters = []
      }
      try #require(parsed == address, "\(address.shimAddress)")
    }
  }

  @Test("Spellings of a character are different sockets")
  func byteEquality() {
    let composed = TransportAddress(place: .unix(path: "/run/\u{e9}"))
    let decomposed = TransportAddress(place: .unix(path: "/run/e\u{301}"))
    #expect(composed != decomposed)
  }

  @Test("Where an address came from does not make it another")
  func origin() throws {
    let text = "ttrpc+unix:///run/x"
    let configured = try TransportAddress(parsing: text)
    let received = try TransportAddress(parsing: text, origin: .received)
    #expect(configured == received)
    #expect(Set([configured, received]).count == 1)
    #expect(received.origin == .received)
  }
}

/// Valid addresses of every kind, with awkward names.
struct AddressGenerator {
  private var random: SeededGenerator

  init(seed: UInt64) { random = SeededGenerator(seed: seed) }

  mutating func next() -> TransportAddress {
    let place = self.place()
    let rpc: TransportAddress.RPCProtocol? =
      [nil, .ttrpc, .grpc].randomElement(using: &random) ?? nil
    let layers = Int.random(in: 0..<4, using: &random) == 0 ? ["tls"] : []
    var parameters = (0..<Int.random(in: 0...3, using: &random)).map { _ in
      TransportAddress.Parameter(word(1...8), word(0...12))
    }
    if case .exec = place {
      parameters.insert(.init("arg", word(0...20)), at: 0)
    }
    return TransportAddress(rpc: rpc, layers: layers, place: place, parameters: parameters)
  }

  private mutating func place() -> TransportAddress.Place {
    switch Int.random(in: 0..<9, using: &random) {
    case 0: .unix(path: path())
    case 1: .abstract(name: word(1...20))
    case 2:
      .vsock(
        cid: Bool.random(using: &random) ? nil : .random(in: 0 ... .max - 1, using: &random),
        port: .random(in: 0 ... .max, using: &random))
    case 3: .hybridVsock(path: path(), port: .random(in: 0 ... .max, using: &random))
    case 4: .tcp(host: host(), port: .random(in: 0 ... .max, using: &random))
    case 5: .descriptor(.random(in: 0 ... .max, using: &random))
    case 6: .memory(name: word(1...20))
    case 7: .exec
    default: .other(transport: "pigeon", place: "coop:" + String(random.next(), radix: 36))
    }
  }

  private mutating func path() -> String {
    // A letter at the end: a socket's path does not end in a slash.
    "/" + word(0...30) + "x"
  }

  private mutating func host() -> String {
    let hosts = [
      "localhost", "build-7", "a.b.c", "A_b", "10.0.0.1", "::1", "fe80::1%eth0", "::ffff:1.2.3.4",
    ]
    return hosts[Int.random(in: 0..<hosts.count, using: &random)]
  }

  private mutating func word(_ length: ClosedRange<Int>) -> String {
    let scalars: [UnicodeScalar] = [
      "a", "Z", "0", "/", ":", "?", "&", "=", "%", "+", "#", "@", " ", "\n", "\t", "\u{7f}", "\"",
      "\\", "[", "]", "\u{1}", "ü", "\u{301}", "🦀", "\u{85}", "\u{2028}", "\u{10ffff}", ".", "-",
    ]
    var text = String.UnicodeScalarView()
    for _ in 0..<Int.random(in: length, using: &random) {
      text.append(scalars[Int.random(in: 0..<scalars.count, using: &random)])
    }
    return String(text)
  }
}
