/// Runs two candidates in turns, so that whatever else the machine does meets both, and compares
/// their medians.
struct Comparison {
  let ours: [Double]
  let theirs: [Double]

  /// - Parameters:
  ///   - rounds: how often each is run, after one round that does not count.
  ///   - ours: one run; gives its figure, of which more is better.
  static func run(
    rounds: Int, ours: () async throws -> Double, theirs: () async throws -> Double
  ) async rethrows -> Comparison {
    var left: [Double] = []
    var right: [Double] = []
    for round in 0...rounds {
      // Who is first changes, too.
      let ourFigure: Double
      let theirFigure: Double
      if round.isMultiple(of: 2) {
        ourFigure = try await ours()
        theirFigure = try await theirs()
      } else {
        theirFigure = try await theirs()
        ourFigure = try await ours()
      }
      guard round > 0 else { continue }
      left.append(ourFigure)
      right.append(theirFigure)
    }
    return Comparison(ours: left, theirs: right)
  }

  var ratio: Double { median(ours) / median(theirs) }

  /// Such as "connect  ours 31,200/s  bare NIO 33,400/s  ratio 0.93 (wanted 0.80)".
  func line(_ what: String, unit: String, peer: String, wanted: Double?) -> String {
    let goal = wanted.map { " (wanted \(fixed($0, 2)): \(ratio >= $0 ? "met" : "MISSED"))" } ?? ""
    return "\(what): ours \(fixed(median(ours), 0)) \(unit), \(peer) \(fixed(median(theirs), 0)) "
      + "\(unit), ratio \(fixed(ratio, 2))\(goal)"
  }
}

func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  guard !sorted.isEmpty else { return .nan }
  let middle = sorted.count / 2
  return sorted.count.isMultiple(of: 2)
    ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
}

/// A number with so many decimals, without Foundation.
func fixed(_ value: Double, _ decimals: Int) -> String {
  guard value.isFinite else { return "\(value)" }
  var scale = 1.0
  for _ in 0..<decimals { scale *= 10 }
  let scaled = Int64((value * scale).rounded())
  guard decimals > 0 else { return "\(scaled)" }
  let digits = String(scaled.magnitude)
  let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
  return (scaled < 0 ? "-" : "") + padded.dropLast(decimals) + "." + padded.suffix(decimals)
}

extension Duration {
  var inSeconds: Double {
    let (seconds, attoseconds) = components
    return Double(seconds) + Double(attoseconds) * 1e-18
  }
}
