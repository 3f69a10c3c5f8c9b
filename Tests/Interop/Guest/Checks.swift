internal import ProcessSupervision
internal import TransportConformance
internal import TransportCore

/// The conformance checks, one after the other, with a line for each.
struct Checks {
  /// Whom to check against.
  enum Target {
    /// Listeners in this machine, dialled as CID 1.
    case loopback
    /// A sibling guest that serves.
    case sibling(UInt32)

    /// As ``words`` has it.
    init?(_ words: some Collection<String>) {
      switch (words.first, words.dropFirst().first.flatMap { UInt32($0) }) {
      case ("loopback", nil): self = .loopback
      case ("sibling", .some(let cid)): self = .sibling(cid)
      default: return nil
      }
    }

    var words: [String] {
      switch self {
      case .loopback: ["loopback"]
      case .sibling(let cid): ["sibling", "\(cid)"]
      }
    }

    var subject: ConformanceSubject {
      switch self {
      case .loopback: .loopback
      case .sibling(let cid): .sibling(cid)
      }
    }
  }

  private let target: Target
  private let subject: ConformanceSubject

  init(_ target: Target) {
    self.target = target
    subject = target.subject
  }

  /// Runs them all.
  func run() async -> Bool {
    var failed = 0
    var passed = 0
    for check in ConformanceCheck.all(for: subject) + ConformanceCheck.alone(for: subject) {
      let began = ContinuousClock.now
      let complaint = check.needsOwnProcess ? await apart(check) : await complaint(of: check)
      let words = "\(target.words.joined(separator: " ")): \(check.name)"
      let took = "(\(ContinuousClock.now - began))"
      if let complaint {
        failed += 1
        GuestPeer.say("FAILED \(words): \(complaint) \(took)")
      } else {
        passed += 1
        GuestPeer.say("passed \(words) \(took)")
      }
    }
    GuestPeer.say("checks of \(subject.name): \(passed) passed, \(failed) failed")
    return failed == 0 && passed > 0
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
    do {
      try await check.run(against: subject)
      return nil
    } catch {
      return error.message
    }
  }

  private func apart(_ check: ConformanceCheck) async -> String? {
    do {
      let run = try await Command(
        "/proc/self/exe", arguments: ["check-one", check.name] + target.words, environment: []
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
