import ArgumentParser
import ShimManagement

struct SandboxRemove: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rm", abstract: "Remove sandboxes.",
    discussion: """
      A sandbox whose first task runs, or to which tasks are attached, is removed only with --force, \
      which kills and removes them all. A sandbox whose shim is dead is cleaned up.

      EXAMPLES
        hawse sandbox rm pod1
        hawse sandbox rm --force pod1 pod2
      """)

  @OptionGroup var options: GlobalOptions
  @Flag(name: [.short, .long], help: "Kill and remove what is attached, too.") var force = false
  @Argument(help: "The sandboxes' ids.") var ids: [String]

  func validate() throws {
    if ids.isEmpty { throw ValidationError("Name at least one sandbox.") }
  }

  func run() async throws {
    try await reporting {
      try await Session.run(options) { session in
        let removal = Removal(session: session, force: force)
        try await Removal.each(ids) { id in
          if force {
            let members = try session.manager.members(
              ofSandbox: id, namespace: options.namespace)
            try await Removal.each(members) { try await removal.remove($0) }
          }
          try await removal.remove(id)
          print(id)
        }
      }
    }
  }
}
