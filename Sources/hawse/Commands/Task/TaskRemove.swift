import ArgumentParser

struct TaskRemove: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rm", abstract: "Remove tasks.",
    discussion: """
      A task that runs is removed only with --force, which kills it. A task whose shim is dead, or \
      whose start was interrupted, is cleaned up.
      """)

  @OptionGroup var options: GlobalOptions
  @Flag(name: [.short, .long], help: "Kill what runs.") var force = false
  @Argument(help: "The tasks' ids.") var ids: [String]

  func validate() throws {
    if ids.isEmpty { throw ValidationError("Name at least one task.") }
  }

  func run() async throws {
    try await reporting {
      try await Session.run(options) { session in
        let removal = Removal(session: session, force: force)
        try await Removal.each(ids) { id in
          try await removal.remove(id)
          print(id)
        }
      }
    }
  }
}
