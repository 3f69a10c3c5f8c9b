import ArgumentParser

struct SandboxStop: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stop",
    abstract: "End what runs in a sandbox. What is left can still be asked for.",
    discussion: """
      \(SandboxFlags.discussion)

      EXAMPLES
        hawse sandbox stop pod1
        hawse sandbox stop --grace 30 pod1
      """)

  @OptionGroup var flags: SandboxFlags
  @Option(
    help: ArgumentHelp(
      "How long it may take to end before it is forced (default: it knows itself).",
      valueName: "seconds"))
  var grace: UInt32?
  @Argument(help: "The sandbox's id.") var id: String

  private struct Report: Encodable {
    var id: String
  }

  func validate() throws { try ReachFlags.check(grace.map(Double.init), "--grace") }

  func run() async throws {
    try await reporting {
      let (id, grace) = (id, grace.map { Duration.seconds(Int64($0)) })
      try await flags.reach(id) { try await $0.stop(id, grace: grace) }
      if flags.options.json { try Output.json(Report(id: id)) } else { print(id) }
    }
  }
}
