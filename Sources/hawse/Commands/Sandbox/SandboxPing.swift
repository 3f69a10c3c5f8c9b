import ArgumentParser

struct SandboxPing: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ping", abstract: "See whether a sandbox answers.",
    discussion: """
      \(SandboxFlags.discussion)

      EXAMPLES
        hawse sandbox ping pod1
        hawse sandbox ping --namespace k8s.io pod1

      EXIT STATUS
        0 when it answers, 1 when it does not, 64 when the command line was wrong.
      """)

  @OptionGroup var flags: SandboxFlags
  @Argument(help: "The sandbox's id.") var id: String

  private struct Report: Encodable {
    var id: String
    var milliseconds: Double
  }

  func run() async throws {
    try await reporting {
      let (id, namespace) = (id, flags.options.namespace)
      let taken = try await flags.reach(id) { access in
        let began = ContinuousClock.now
        try await access.ping(id, namespace: namespace)
        return ContinuousClock.now - began
      }
      let milliseconds = taken / .milliseconds(1)
      if flags.options.json {
        try Output.json(Report(id: id, milliseconds: milliseconds))
      } else {
        print("\(id) answers after \((milliseconds * 100).rounded() / 100) ms")
      }
    }
  }
}
