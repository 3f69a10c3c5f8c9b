import FoundationEssentials
import Testing

@testable import TTRPC

/// What the fuzzer started from, what it kept and what it found, run again.
@Suite("The fuzzer's corpus and findings", .timeLimit(.minutes(2)))
struct FuzzReplayTests {
  @Test("every input is survived", arguments: FuzzTarget.allCases)
  func replay(_ target: FuzzTarget) throws {
    let folder = "\(#filePath)".split(separator: "/").dropLast(2).map { "/\($0)" }.joined()
    for kind in ["Corpus", "Findings"] {
      let inputs = "\(folder)/Fuzz/\(kind)/\(target)"
      guard FileManager.default.fileExists(atPath: inputs) else { continue }
      for name in try FileManager.default.contentsOfDirectory(atPath: inputs) {
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: "\(inputs)/\(name)")))
        do {
          try target.run(bytes)
        } catch {
          Issue.record("\(kind)/\(target)/\(name): \(error)")
        }
      }
    }
  }

  @Test("so are random bytes", arguments: FuzzTarget.allCases)
  func random(_ target: FuzzTarget) throws {
    for seed in 1...200 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      let bytes = generator.bytes(Int.random(in: 0...400, using: &generator))
      do {
        try target.run(bytes)
      } catch {
        Issue.record("seed \(seed): \(error)")
      }
    }
  }
}
