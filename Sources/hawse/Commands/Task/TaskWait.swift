import ArgumentParser
import ContainerdClient
import ShimManagement

struct TaskWait: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "wait", abstract: "Wait until a task has ended, and print its exit status.")

  @OptionGroup var options: GlobalOptions
  @Option(help: ArgumentHelp("Wait for this added process.", valueName: "id")) var execID: String?
  @Argument(help: "The task's id.") var id: String

  private struct Report: Encodable {
    var id: String
    var exitStatus: UInt32
  }

  func run() async throws {
    try await reporting {
      let status = try await Session.run(options) { session in
        let task = try await session.manager.load(namespace: options.namespace, id: id)
        do {
          let exit = try await task.wait(execID: execID)
          await session.manager.release(task)
          return exit.status
        } catch {
          await session.manager.settle()
          await session.manager.release(task)
          throw error
        }
      }
      if options.json {
        try Output.json(Report(id: id, exitStatus: status))
      } else {
        print(status)
      }
    }
  }
}
