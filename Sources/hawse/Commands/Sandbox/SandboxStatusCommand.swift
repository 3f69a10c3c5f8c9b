import ArgumentParser

struct SandboxStatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show the state of a sandbox that serves the sandbox API.",
    discussion: """
      \(SandboxFlags.discussion)

      EXAMPLES
        hawse sandbox status pod1
        hawse sandbox status --namespace k8s.io --json pod1
        hawse sandbox status --server grpc+unix:///run/hawsepipe/control/grpc.sock pod1
      """)

  @OptionGroup var flags: SandboxFlags
  @Argument(help: "The sandbox's id.") var id: String

  func run() async throws {
    try await reporting {
      let id = id
      let status = try await flags.reach(id) { try await $0.status(id) }
      if flags.options.json { return try Output.json(status) }
      var rows = [
        ["id", status.id], ["state", status.state],
        ["pid", status.pid == 0 ? "-" : "\(status.pid)"],
        ["address", status.address.isEmpty ? "-" : status.address],
        ["version", status.version == 0 ? "-" : "\(status.version)"],
        ["created", status.createdAt ?? "-"], ["exited", status.exitedAt ?? "-"],
      ]
      for (key, value) in status.info.sorted(by: { $0.key < $1.key }) { rows.append([key, value]) }
      Output.table([], rows)
    }
  }
}
