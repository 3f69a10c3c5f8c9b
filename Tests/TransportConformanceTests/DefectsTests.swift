import Testing
import TransportConformance
import TransportCore

@Suite struct DefectsTests {
  private func subject(_ defect: Defect?, _ leaks: Leaks) -> ConformanceSubject {
    var subject = ConformanceSubject.unix
    subject.name = "unix with a defect"
    subject.registry = TransportRegistry([DefectiveConnector(defect: defect, leaks: leaks)])
    subject.registry.register(DefectiveFactory(defect: defect))
    // What hangs is found out sooner.
    if defect != nil { subject.patience = .seconds(3) }
    return subject
  }

  @Test("A defect is found by the check that is meant for it", arguments: Defect.allCases)
  func found(_ defect: Defect) async {
    let leaks = Leaks()
    let failure = await #expect(throws: ConformanceFailure.self) {
      try await defect.check.run(against: subject(defect, leaks))
    }
    #expect(failure?.check == defect.rawValue)
    leaks.close()
  }

  @Test(
    "The same transport without a defect passes",
    arguments: Defect.allCases.filter { !$0.check.needsOwnProcess })
  func healthy(_ defect: Defect) async throws {
    try await defect.check.run(against: subject(nil, Leaks()))
  }
}

@Suite struct ReportTests {
  @Test("A program gets a line for each check, and the reason of a failure")
  func lines() async throws {
    let checks = ConformanceCheck.all(for: .unix).filter {
      ["silence", "timings"].contains($0.name)
    }
    var subject = ConformanceSubject.unix
    subject.phases = [.tls]
    var lines: [String] = []
    let results = await Conformance.report(subject, checks: checks) { lines.append($0) }
    #expect(results.map { $0.failure == nil } == [true, false])
    #expect(lines.count == 3)
    #expect(lines[0].hasPrefix("ok     unix: silence ("))
    #expect(lines[1].hasPrefix("FAILED unix: timings (") && lines[1].contains("tls"))
    #expect(lines[2] == "unix: 1 of 2 checks passed")
  }

  @Test("The names of the checks are unique")
  func names() {
    #expect(Set(ConformanceCheck.all.map(\.name)).count == ConformanceCheck.all.count)
  }

  @Test("A check is left out where the subject does not promise what it checks")
  func applicable() {
    var subject = ConformanceSubject.unix
    subject.halfClose = []
    subject.mute = nil
    subject.inherited = nil
    let names = ConformanceCheck.all(for: subject).map(\.name)
    for name in ["half-close", "mute", "inherited", "without descriptors"] {
      #expect(!names.contains { $0.contains(name) }, "\(name)")
    }
    subject.peer = .running { _ in freshAddress() }
    #expect(!ConformanceCheck.all(for: subject).map(\.name).contains { $0.contains("listener c") })
  }
}
