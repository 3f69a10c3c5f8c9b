import ArgumentParser
import ContainerdClient

struct SandboxWait: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "wait", abstract: "Wait until a sandbox has ended, and print its exit status.",
    discussion: """
      \(SandboxFlags.discussion)

      EXAMPLES
        hawse sandbox wait pod1
      """)

  @OptionGroup var flags: SandboxFlags
  @Argument(help: "The sandbox's id.") var id: String

  private struct Report: Encodable {
    var id: String
    var exitStatus: UInt32
    var exitedAt: String?
  }

  func run() async throws {
    try await reporting {
      let id = id
      let exit = try await flags.reach(id) { try await $0.wait(id) }
      if flags.options.json {
        try Output.json(
          Report(
            id: id, exitStatus: exit.status, exitedAt: exit.exitedAt.map(SandboxAccess.text)))
      } else {
        print(exit.status)
      }
    }
  }
}
