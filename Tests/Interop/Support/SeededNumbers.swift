import Glibc

/// SplitMix64: the same numbers for the same seed, which a test prints when it fails.
struct SeededNumbers: RandomNumberGenerator, Sendable {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// How much the long tests do: `Scripts/interop` sets the variables.
enum Effort {
  /// The whole of it, which CI has no time for.
  static let isFull = variable("HAWSEPIPE_FULL") != nil
  /// That of an earlier run, to see its failure again.
  static let seed = variable("HAWSEPIPE_SEED").flatMap { UInt64($0) } ?? .random(in: 0 ... .max)

  private static func variable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
  }
}
