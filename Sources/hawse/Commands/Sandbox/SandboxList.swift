import ArgumentParser
import ShimManagement

struct SandboxList: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ls", abstract: "List the sandboxes of a namespace.")

  @OptionGroup var options: GlobalOptions

  func run() async throws {
    try await reporting {
      let reports = try await Session.run(options) { session in
        try await session.manager.list(namespace: options.namespace)
      }
      let sandboxes = reports.filter(\.isSandbox).map { sandbox in
        SandboxReport(sandbox, tasks: reports.filter { $0.sandboxID == sandbox.id })
      }
      if options.json {
        try Output.json(sandboxes)
      } else {
        Output.table(SandboxReport.header, sandboxes.map(\.row))
      }
    }
  }
}
