import ArgumentParser
import ShimManagement

struct TaskList: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ls", abstract: "List the tasks of a namespace.")

  @OptionGroup var options: GlobalOptions
  @Option(help: ArgumentHelp("Only the tasks of this sandbox.", valueName: "id"))
  var sandbox: String?

  func run() async throws {
    try await reporting {
      let reports = try await Session.run(options) { session in
        try await session.manager.list(namespace: options.namespace)
      }
      let tasks = reports.filter { report in
        sandbox.map { report.sandboxID == $0 } ?? !report.isSandbox
      }.map(TaskReport.init)
      if options.json {
        try Output.json(tasks)
        return
      }
      Output.table(["TASK"] + TaskReport.header.dropFirst(), tasks.map(\.row))
      for task in tasks {
        if let problem = task.problem { Output.note("\(task.id): \(problem)") }
      }
    }
  }
}
