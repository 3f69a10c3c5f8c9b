import DispatchSupport
import Testing
import TransportConformance

@Suite struct ConformingTransportsTests {
  @Test("Unix sockets conform", arguments: ConformanceCheck.all(for: .unix))
  func unix(_ check: ConformanceCheck) async throws {
    try await check.run(against: .unix)
  }

  @Test("Connections in memory conform", arguments: ConformanceCheck.all(for: .memory))
  func memory(_ check: ConformanceCheck) async throws {
    try await check.run(against: .memory)
  }
}

/// Some checks take away what the rest of the process needs.
@Suite struct LonelyChecksTests {
  @Test("A lack of descriptors is survived on unix sockets, and none is left behind")
  func unix() async {
    await besideDispatch {
      await #expect(processExitsWith: .success) {
        for check in ConformanceCheck.alone(for: .unix) {
          do {
            try await check.run(against: .unix)
          } catch {
            // As a text: the error itself would not get out of the process.
            Issue.record("\(error)")
          }
        }
      }
    }
  }

  @Test("Nothing is left behind in memory")
  func memory() async {
    await besideDispatch {
      await #expect(processExitsWith: .success) {
        for check in ConformanceCheck.alone(for: .memory) {
          do {
            try await check.run(against: .memory)
          } catch {
            // As a text: the error itself would not get out of the process.
            Issue.record("\(error)")
          }
        }
      }
    }
  }
}
