import ArgumentParser
import ContainerdAPI
import ContainerdClient
import JSON
import SwiftProtobuf

struct SandboxMetricsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "metrics", abstract: "Show what a sandbox itself uses.",
    discussion: """
      Prints what the sandbox reports, as JSON: what it is depends on the sandbox, such as the \
      statistics of its control group.

      \(SandboxFlags.discussion)

      EXAMPLES
        hawse sandbox metrics pod1
        hawse sandbox metrics --json pod1
      """)

  @OptionGroup var flags: SandboxFlags
  @Argument(help: "The sandbox's id.") var id: String

  func run() async throws {
    try await reporting {
      let id = id
      let metrics = try await flags.reach(id) { try await $0.metrics(id) }
      var message = Containerd_Types_Metric()
      message.id = metrics.id
      if let time = metrics.timestamp { message.timestamp = time }
      if let data = metrics.data { message.data = data }
      let json = try MessageJSON.json(message)
      Output.line(flags.options.json ? json.compact : json.pretty)
    }
  }
}
