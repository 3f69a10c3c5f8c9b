import Synchronization
import Testing

@testable import TransportCore

@Suite struct TimeLimitsTests {
  private let limits = TimeLimits()

  @Test("A limit that is over acts and says so")
  func over() async {
    let (acts, act) = AsyncStream<Void>.makeStream()
    let number = limits.begin(.milliseconds(5)) { act.finish() }
    for await _ in acts {}
    #expect(limits.end(number))
  }

  @Test("One that is taken back in time never acts, and holds nothing up")
  func takenBack() async {
    let hasActed = Mutex(false)
    await withCheckedContinuation { continuation in
      let first = limits.begin(.milliseconds(20)) { hasActed.withLock { $0 = true } }
      #expect(!limits.end(first))
      _ = limits.begin(.milliseconds(60)) { continuation.resume() }
    }
    #expect(!hasActed.withLock { $0 })
  }

  @Test("A short one that begins behind a long one is over first")
  func shortBehindLong() async {
    let long = limits.begin(.seconds(3600)) {}
    for _ in 0..<3 {
      await withCheckedContinuation { continuation in
        _ = limits.begin(.milliseconds(5)) { continuation.resume() }
      }
    }
    #expect(!limits.end(long))
  }
}
