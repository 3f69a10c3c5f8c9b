internal import ProcessSupervision
internal import TransportConformance
internal import TransportCore

/// The conformance checks, one after the other, with a line for each.
struct Checks {
  private let subject: Subject
  private let conformance: ConformanceSubject

  init(_ subject: Subject) {
    self.subject = subject
    conformance = subject.conformance
  }

  /// Runs all checks of all subjects, and says how this machine is seen.
  static func run(_ subjects: [Subject]) async throws -> Bool {
    try await Introduction.run(subjects)
    var isWell = true
    for subject in subjects {
      let passed = await Checks(subject).run()
      isWell = isWell && passed
    }
    return isWell
  }

  private func run() async -> Bool {
    let checks =
      ConformanceCheck.all(for: conformance) + ConformanceCheck.alone(for: conformance)
    var failed = 0
    for check in checks {
      let began = ContinuousClock.now
      let complaint = check.needsOwnProcess ? await apart(check) : await complaint(of: check)
      let took = ContinuousClock.now - began
      let words = "\(subject): \(check.name) (\(Int(took / .milliseconds(1))) ms)"
      if let complaint {
        failed += 1
        GuestPeer.say("FAILED \(words): \(complaint)")
      } else {
        GuestPeer.say("passed \(words)")
      }
    }
    GuestPeer.say("checks of \(subject): \(checks.count - failed) passed, \(failed) failed")
    return failed == 0
  }

  /// Runs one, in a process that has nothing else to do.
  func run(named name: String) async -> Bool {
    guard let check = ConformanceCheck.all.first(where: { $0.name == name }) else {
      GuestPeer.say("there is no check \(name)")
      return false
    }
    guard let complaint = await complaint(of: check) else { return true }
    GuestPeer.say(complaint)
    return false
  }

  private func complaint(of check: ConformanceCheck) async -> String? {
    do throws(ConformanceFailure) {
      try await check.run(against: conformance)
      return nil
    } catch {
      return error.message
    }
  }

  private func apart(_ check: ConformanceCheck) async -> String? {
    do {
      let run = try await Command(
        "/proc/self/exe", arguments: ["check-one", check.name, "\(subject)"]
      ).run(timeout: .seconds(240))
      guard !run.status.isSuccess else { return nil }
      return "\(run.status): "
        + String(decoding: run.standardOutput + run.standardError, as: UTF8.self)
        .split(separator: "\n").joined(separator: "; ")
    } catch {
      return "\(error)"
    }
  }
}
