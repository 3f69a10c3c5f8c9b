/// One thing that every transport must do.
///
/// ```swift
/// @Test(arguments: ConformanceCheck.all(for: subject))
/// func conforms(_ check: ConformanceCheck) async throws { try await check.run(against: subject) }
/// ```
///
/// A check uses addresses of its own and waits for nothing longer than its subject has patience, so checks may run at
/// the same time, but for those of ``alone(for:)``.
public struct ConformanceCheck: Sendable {
  /// Stable, for choosing and reporting.
  public let name: String
  /// What the transport must do.
  public let sentence: String
  /// Needs a process of its own: it takes away what others in the process need.
  public let needsOwnProcess: Bool
  private let isApplicable: @Sendable (ConformanceSubject) -> Bool
  private let body: @Sendable (ConformanceRun) async throws -> Void

  init(
    _ name: String, _ sentence: String, needsOwnProcess: Bool = false,
    where isApplicable: @escaping @Sendable (ConformanceSubject) -> Bool = { _ in true },
    _ body: @escaping @Sendable (ConformanceRun) async throws -> Void
  ) {
    self.name = name
    self.sentence = sentence
    self.needsOwnProcess = needsOwnProcess
    self.isApplicable = isApplicable
    self.body = body
  }

  /// Every check there is.
  public static let all: [ConformanceCheck] =
    bytes + ends + flow + failures + policies + connections + listeners + descriptors
    + exhaustion

  /// The checks that suit what the subject declares, but for those that need their own process.
  public static func all(for subject: ConformanceSubject) -> [ConformanceCheck] {
    all.filter { $0.applies(to: subject) && !$0.needsOwnProcess }
  }

  /// The checks that suit the subject and must run where nothing else does: in an exit test, or in
  /// a program of their own.
  public static func alone(for subject: ConformanceSubject) -> [ConformanceCheck] {
    all.filter { $0.applies(to: subject) && $0.needsOwnProcess }
  }

  public func applies(to subject: ConformanceSubject) -> Bool { isApplicable(subject) }

  /// Runs the check.
  ///
  /// - Throws: ``ConformanceFailure``, also when something was waited for in vain or the calling
  ///   task was cancelled.
  public func run(against subject: ConformanceSubject) async throws(ConformanceFailure) {
    do {
      try await body(ConformanceRun(subject: subject))
    } catch {
      throw ConformanceFailure(
        subject: subject.name, check: name, message: "\(error)", cause: error)
    }
  }
}

extension ConformanceCheck: CustomStringConvertible {
  public var description: String { name }
}

extension ConformanceCheck: Hashable {
  // Names are unique.
  public static func == (left: ConformanceCheck, right: ConformanceCheck) -> Bool {
    left.name == right.name
  }

  public func hash(into hasher: inout Hasher) { hasher.combine(name) }
}
