import Testing
import TransportConformance

@Suite struct ConformingTransportsTests {
  @Test("Unix sockets conform", arguments: ConformanceCheck.all(for: .unix))
  func unix(_ check: ConformanceCheck) async throws {
    try await check.run(against: .unix)
  }
}
