import Glibc

// What the clients of the benchmarks have in common.

public struct Problem: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

public func number(_ text: String) throws -> Int {
  guard let number = Int(text), number > 0 else { throw Problem("\(text) is no count") }
  return number
}

public func nanoseconds(_ seconds: String) throws -> UInt64 {
  guard let seconds = Double(seconds), seconds >= 0, seconds < 3600 else {
    throw Problem("\(seconds) is no time in seconds")
  }
  return UInt64(seconds * 1e9)
}

/// Of the monotonic clock.
public func now() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// The time in which calls count, behind a warm-up.
public struct Window: Sendable {
  public let began: UInt64
  public let ends: UInt64

  public init(warmUp: UInt64, duration: UInt64) {
    began = now() + warmUp
    ends = began + duration
  }
}

/// What tasks have measured.
public struct Sample: Sendable {
  /// Nanoseconds of those calls that began within the time measured.
  public var latencies: [UInt32] = []
  /// All that were made.
  public var all = 0

  public init() {}

  public mutating func add(_ other: Sample) {
    latencies += other.latencies
    all += other.all
  }

  /// Notes a call that has just ended.
  public mutating func note(from start: UInt64, in window: Window) {
    all += 1
    if start > window.began { latencies.append(UInt32(clamping: now() - start)) }
  }

  /// Makes calls one after the other, in so many tasks, until the window ends.
  public static func taken(
    in window: Window, tasks: Int, _ call: @escaping @Sendable () async throws -> Void
  ) async throws -> Sample {
    try await withThrowingTaskGroup(of: Sample.self) { group in
      for _ in 0..<tasks {
        group.addTask {
          var sample = Sample()
          while true {
            let start = now()
            if start > window.ends { return sample }
            try await call()
            sample.note(from: start, in: window)
          }
        }
      }
      return try await group.reduce(into: Sample()) { $0.add($1) }
    }
  }

  /// The line of JSON that the commands read.
  public func report(of window: Window) throws -> String {
    let latencies = latencies.sorted()
    guard !latencies.isEmpty else { throw Problem("no call ended in time") }
    let seconds = Double(window.ends - window.began) / 1e9
    let (p50, p99) = (latencies[latencies.count / 2], latencies[latencies.count * 99 / 100])
    return """
      {"calls": \(latencies.count), "all": \(all), "seconds": \(seconds), \
      "p50": \(Double(p50) / 1e3), "p99": \(Double(p99) / 1e3)}
      """
  }
}
