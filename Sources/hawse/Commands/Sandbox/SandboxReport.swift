import ShimManagement

/// What is shown of a sandbox: its own task, and those attached to it.
struct SandboxReport: Encodable {
  var sandbox: TaskReport
  var tasks: [TaskReport]

  init(_ sandbox: ShimManager.Report, tasks: [ShimManager.Report]) {
    self.sandbox = TaskReport(sandbox)
    self.tasks = tasks.map(TaskReport.init)
  }

  static let header = ["SANDBOX"] + TaskReport.header.dropFirst().prefix(5) + ["TASKS"]

  var row: [String] { Array(sandbox.row.prefix(6)) + ["\(tasks.count)"] }
}
