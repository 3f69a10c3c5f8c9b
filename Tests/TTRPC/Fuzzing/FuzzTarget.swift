/// What the fuzzer runs, and what the tests replay its corpus through. Tests/Fuzz builds the files
/// of this folder together with the module's.
enum FuzzTarget: String, CaseIterable, Sendable {
  case frames, envelopes, streams, server, client

  /// - Throws: ``FuzzFailure`` when what must always hold does not.
  func run(_ input: [UInt8]) throws {
    var script = FuzzScript(input)
    switch self {
    case .frames: try FrameFuzzing.run(&script)
    case .envelopes: try EnvelopeFuzzing.run(&script)
    case .streams: try StreamFuzzing.run(&script)
    case .server: try ServerFuzzing.run(&script)
    case .client: try ClientFuzzing.run(&script)
    }
  }
}

struct FuzzFailure: Error, CustomStringConvertible {
  let description: String

  /// Throws unless what must hold does.
  static func unless(_ holds: Bool, _ failure: @autoclosure () -> String) throws {
    guard !holds else { return }
    throw FuzzFailure(description: failure())
  }
}

/// A fuzzer's bytes as a list of choices: small changes of the bytes stay small changes of what
/// happens. What is missing is zero.
struct FuzzScript {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  var isAtEnd: Bool { rest.isEmpty }

  mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

  mutating func below(_ limit: Int) -> Int { Int(byte()) % limit }

  mutating func word() -> UInt32 {
    (0..<4).reduce(0) { word, _ in word << 8 | UInt32(byte()) }
  }

  mutating func bytes(_ count: Int) -> [UInt8] {
    let part = rest.prefix(count)
    rest = rest.dropFirst(part.count)
    return Array(part)
  }

  mutating func remainder() -> [UInt8] { bytes(rest.count) }

  /// A length: mostly small, now and then around what is special for a read or a limit.
  mutating func length() -> Int {
    let choice = Int(byte())
    return choice < 0xf8 ? choice : 1 << (choice - 0xf0)
  }
}

/// The same numbers for the same seed.
struct FuzzRandom: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    // Weyl's sequence, mixed.
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 32)) &* 0xd6e8_feb8_6659_fd93
    mixed = (mixed ^ (mixed >> 32)) &* 0xd6e8_feb8_6659_fd93
    return mixed ^ (mixed >> 32)
  }
}
