internal import NIOCore

/// What is written on a connection with faults: how much of it goes out before it ends early. No I/O
/// is done here; ``FaultHandler`` carries it out.
struct FaultedOutput {
  enum Ending: Sendable {
    case reset
    case end
  }

  struct Verdict {
    /// How many of the bytes may be written.
    var allowed: Int
    /// What comes behind them.
    var ending: Ending?
  }

  private let faults: MemoryFaults
  private var written = 0
  private(set) var hasEnded = false

  init(_ faults: MemoryFaults) { self.faults = faults }

  /// What becomes of a write of this many bytes; of none, to find out whether it is over already.
  mutating func write(_ count: Int) -> Verdict {
    guard !hasEnded else { return Verdict(allowed: 0) }
    let limit = min(faults.resetAfterWriting ?? .max, faults.endAfterWriting ?? .max)
    let allowed = min(count, limit - written)
    written += allowed
    guard written >= limit else { return Verdict(allowed: allowed) }
    hasEnded = true
    return Verdict(allowed: allowed, ending: limit == faults.resetAfterWriting ? .reset : .end)
  }
}
