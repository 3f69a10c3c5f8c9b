import ArgumentParser
import ContainerdClient
import RPCCore
import ShimManagement
import TTRPC

struct SandboxInspect: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "Show a sandbox, its shim and its tasks.")

  @OptionGroup var options: GlobalOptions
  @Argument(help: "The sandbox's id.") var id: String

  func run() async throws {
    try await reporting {
      let (report, details) = try await Session.run(options) { session in
        try await look(session)
      }
      if options.json {
        try Output.json(Inspection(sandbox: report, shim: details))
        return
      }
      Output.table([], details.rows)
      print()
      Output.table(TaskReport.header, ([report.sandbox] + report.tasks).map(\.row))
      for task in [report.sandbox] + report.tasks {
        if let problem = task.problem { print("\(task.id): \(problem)") }
      }
    }
  }

  private func look(_ session: Session) async throws -> (SandboxReport, ShimDetails) {
    let manager = session.manager
    let reports = try await manager.list(namespace: options.namespace)
    guard let sandbox = reports.first(where: { $0.id == id }) else {
      throw ShimManagementError(
        code: .sandboxNotFound,
        message: "there is no sandbox \(id) in namespace \(options.namespace)",
        hint: "See hawse sandbox ls for what there is.")
    }
    var details = ShimDetails(
      bundle: session.directory.bundlePath(
        namespace: options.namespace, id: id))
    details.address = sandbox.address.map { "\($0)" }
    if sandbox.condition == .alive {
      let task = try await manager.load(namespace: options.namespace, id: id)
      details.peer = "\(task.connection.peer)"
      details.shimPID = try await task.connect().shimPID
      await manager.release(task)
    }
    return (SandboxReport(sandbox, tasks: reports.filter { $0.sandboxID == id }), details)
  }

  private struct Inspection: Encodable {
    var sandbox: SandboxReport
    var shim: ShimDetails
  }

  private struct ShimDetails: Encodable {
    var bundle: String
    var address: String?
    var shimPID: UInt32?
    var peer: String?

    var rows: [[String]] {
      [
        ["bundle", bundle], ["address", address ?? "-"],
        ["shim pid", shimPID.map { "\($0)" } ?? "-"], ["peer", peer ?? "-"],
      ]
    }
  }
}
