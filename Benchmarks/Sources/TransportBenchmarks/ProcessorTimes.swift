import Glibc

/// What a candidate took of the processors, the kernel's work for it included: the figure that a busy
/// machine disturbs least.
final class ProcessorTimes {
  /// Seconds for a unit each.
  private var costs: [Double] = []

  var typical: Double { median(costs) }

  /// - Parameter units: how many `body` does: connections, bytes.
  func add(units: Int, _ body: () async throws -> Void) async rethrows {
    let before = Self.now
    try await body()
    costs.append((Self.now - before) / Double(units))
  }

  /// What was measured elsewhere.
  func add(_ seconds: Double) { costs.append(seconds) }

  /// Such as "430 us each".
  var each: String { "\(fixed(typical * 1e6, 0)) us each" }

  /// For units of a byte: such as "0.82 s a GiB".
  var gibibyte: String { "\(fixed(typical * Double(1 << 30), 2)) s a GiB" }

  /// Of this process so far.
  private static var now: Double {
    var usage = rusage()
    // It can only fail for a bad address.
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) * 1e-6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
  }
}
