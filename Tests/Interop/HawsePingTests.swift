import JSON
import Glibc
import ProcessSupervision
import Hawsepipe
import ShimManagement
import TTRPC
import Testing
import TransportCore

@testable import hawse

@Suite("hawse ping")
struct HawsePingTests {
  private func serving(
    _ body: (TransportBench, _ address: String, _ stop: () async -> Void) async throws -> Void
  ) async throws {
    try await TransportBench.use { bench in
      let registry = TransportRegistry.standard
      let address = "unix://\(bench.directory)/ttrpc.sock"
      let listener = try await registry.listen(at: registry.parse(address))
      let serving = Task { try await TTRPCServer().run(on: listener) }
      defer { serving.cancel() }
      try await body(bench, address) {
        serving.cancel()
        _ = await serving.result
      }
      serving.cancel()
      _ = await serving.result
    }
  }

  @Test("counts pings of a server without services, one a line, and sums up")
  func counts() async throws {
    try await serving { bench, address, _ in
      let result = try await bench.run(
        "hawse", "ping", "-c", "3", "-i", "0.01", "--timeout", "50", address)
      #expect(result.code == 0 && result.err == "", "\(result)")
      let lines = result.out.split(separator: "\n")
      try #require(lines.count == 7, "\(result)")
      #expect(lines[0].hasPrefix("PING \(address) ("), "\(result)")
      for number in 1...3 {
        #expect(lines[number].hasPrefix("answer: seq=\(number) time="), "\(result)")
      }
      #expect(lines[4] == "--- \(address) ping statistics ---")
      #expect(lines[5] == "3 sent, 3 answered, 0% lost")
      #expect(lines[6].hasPrefix("min/avg/max/mdev = ") && lines[6].hasSuffix(" ms"))
    }
  }

  @Test("--json prints an object a line")
  func json() async throws {
    try await serving { bench, address, _ in
      let result = try await bench.run(
        "hawse", "ping", "--json", "--count", "2", "--interval", "0", "--timeout", "50", address)
      #expect(result.code == 0 && result.err == "", "\(result)")
      let lines = try result.out.split(separator: "\n").map { try JSONValue(parsing: $0.utf8) }
      try #require(lines.count == 3, "\(result)")
      #expect(lines[0]["seq"]?.integer == 1 && lines[1]["seq"]?.integer == 2)
      let statistics = try #require(lines[2]["statistics"])
      #expect(statistics["address"]?.string == address)
      #expect(statistics["sent"]?.integer == 2 && statistics["answered"]?.integer == 2)
      #expect(statistics["lossPercent"]?.integer == 0)
      #expect(statistics["milliseconds", "mdev"] != nil)
    }
  }

  @Test("a signal ends it with the statistics")
  func signal() async throws {
    try await serving { bench, address, _ in
      let ping = try bench.start(
        "hawse", "ping", "--interval", "0.02", "--timeout", "50", address)
      _ = try await bench.line(of: ping, with: "seq=2")
      ping.signal(SIGINT)
      let result = try await ping.result()
      #expect(result.code == 0 && result.err == "", "\(result)")
      #expect(result.out.contains(" answered, 0% lost\n"), "\(result)")
    }
  }

  @Test("a lost connection ends it with the statistics and the reason")
  func loss() async throws {
    try await serving { bench, address, stop in
      let ping = try bench.start(
        "hawse", "ping", "--interval", "0.02", "--timeout", "50", address)
      _ = try await bench.line(of: ping, with: "seq=2")
      await stop()
      let result = try await ping.result()
      #expect(result.code == 1 && result.err.contains("Unavailable"), "\(result)")
      #expect(result.out.contains("ping statistics ---\n"), "\(result)")
    }
  }

  @Test("a mute peer answers nothing, which is 100% lost")
  func mute() async throws {
    try await TransportBench.use { bench in
      let port = try bench.mute()
      let result = try await bench.run(
        "hawse", "ping", "-c", "2", "-i", "0", "--timeout", "0.1", "tcp://127.0.0.1:\(port)")
      #expect(result.code == 1 && result.err == "", "\(result)")
      #expect(result.out.contains("no answer: seq=1: DeadlineExceeded"), "\(result)")
      #expect(result.out.contains("2 sent, 0 answered, 100% lost"), "\(result)")
      #expect(!result.out.contains("mdev"), "\(result)")
    }
  }

  @Test("the statistics are ping's")
  func statistics() throws {
    var statistics = PingStatistics()
    for time in [2, 4, 4, 4, 5, 5, 7, 9] { statistics.count(.milliseconds(time)) }
    statistics.count(nil)
    let report = statistics.report("x")
    #expect((report.sent, report.answered) == (9, 8))
    #expect(report.lossPercent > 11.1 && report.lossPercent < 11.2)
    let times = try #require(report.milliseconds)
    #expect((times.min, times.avg, times.max, times.mdev) == (2, 5, 9, 2))
    #expect(report.lines.last == "min/avg/max/mdev = 2.000/5.000/9.000/2.000 ms")
    #expect(PingStatistics().report("x").lines[1] == "0 sent, 0 answered, 0% lost")
  }
}
