import Testing
import TransportCore

/// A million texts that nobody would write. Each test takes a part, so that they share the cores.
@Suite struct AddressFuzzTests {
  @Test("Random bytes never trap the parser", arguments: 0..<4)
  func randomBytes(seed: Int) async {
    var random = SeededGenerator(seed: UInt64(seed) + 1)
    var bytes: [UInt8] = []
    for round in 0..<100_000 {
      // Other tests want the threads, too.
      if round % 512 == 0 { await Task.yield() }
      bytes.removeAll(keepingCapacity: true)
      for _ in 0..<Int(random.next() % 5) {
        withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) }
      }
      Self.exercise(bytes, full: random.next() % 64 == 0)
    }
  }

  @Test("Mutated addresses never trap the parser", arguments: 0..<6)
  func mutations(seed: Int) async {
    var random = SeededGenerator(seed: UInt64(seed) + 100)
    let seeds =
      (AddressTableTests.accepted.map(\.text) + AddressTableTests.refused.map(\.text))
      .map { Array($0.utf8) }
    for round in 0..<100_000 {
      // Other tests want the threads, too.
      if round % 512 == 0 { await Task.yield() }
      var bytes = seeds[Int(random.next() % UInt64(seeds.count))]
      for _ in 0...Int(random.next() % 3) { Self.mutate(&bytes, seeds, &random) }
      Self.exercise(bytes, full: random.next() % 64 == 0)
    }
  }

  /// The strict parser always; all the other readers with `full`, which cost more.
  private static func exercise(_ bytes: [UInt8], full: Bool) {
    let text = String(decoding: bytes, as: UTF8.self)
    do {
      let address = try TransportAddress(parsing: text)
      let again = try TransportAddress(parsing: address.text)
      if again != address { Issue.record("\(text) is printed as something else") }
    } catch {
      if error.code != .invalidAddress { Issue.record("\(text): \(error)") }
      if let position = error.position, !(0...text.utf8.count).contains(position) {
        Issue.record("\(text): the position \(position) is outside of it")
      }
    }
    guard full else { return }
    _ = try? TransportAddress.parseLenient(text)
    _ = try? TransportAddress(parsing: text, origin: .received)
    _ = try? TransportAddress(protocolName: "ttrpc", shimAddress: text)
    _ = try? TransportAddress(protocolName: "grpc", shimAddress: text)
  }

  private static func mutate(
    _ bytes: inout [UInt8], _ seeds: [[UInt8]], _ random: inout SeededGenerator
  ) {
    let at = bytes.isEmpty ? 0 : Int(random.next() % UInt64(bytes.count))
    let byte = UInt8(truncatingIfNeeded: random.next())
    let special = Array("/:+?%@[]=&-\0\n. A9".utf8)
    switch random.next() % 6 {
    case 0 where !bytes.isEmpty: bytes[at] = byte
    case 1: bytes.insert(byte, at: at)
    case 2 where !bytes.isEmpty: bytes.remove(at: at)
    case 3: bytes.insert(special[Int(byte) % special.count], at: at)
    case 4: bytes.removeSubrange(at...)
    default:
      let other = seeds[Int(random.next() % UInt64(seeds.count))]
      bytes.replaceSubrange(at..., with: other.suffix(Int(byte) % 16))
    }
  }
}
