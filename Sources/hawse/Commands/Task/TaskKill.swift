import ArgumentParser
import ContainerdClient
import Glibc
import RPCCore
import ShimManagement

struct TaskKill: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kill", abstract: "Send a signal to a task.",
    discussion: """
      EXAMPLES
        hawse task kill web
        hawse task kill --signal HUP web
        hawse task kill --signal 9 --all web
      """)

  @OptionGroup var options: GlobalOptions
  @Option(name: [.short, .long], help: "The signal, by name or number.") var signal = "TERM"
  @Flag(name: [.short, .long], help: "To every process of the task.") var all = false
  @Option(help: ArgumentHelp("To this added process.", valueName: "id")) var execID: String?
  @Argument(help: "The task's id.") var id: String

  func validate() throws {
    if SignalName.number(signal) == nil {
      throw ValidationError("There is no signal \(signal). Give a name such as TERM, or 1 to 64.")
    }
  }

  func run() async throws {
    try await reporting {
      try await Session.run(options) { session in
        let task = try await session.manager.load(namespace: options.namespace, id: id)
        // validate() has seen that there is one.
        let number = SignalName.number(signal) ?? SIGTERM
        do {
          try await task.call("send SIG\(signal) to") { client throws(RPCError) in
            try await client.kill(
              id, execID: execID, signal: UInt32(number), all: all, timeout: .seconds(10))
          }
        } catch {
          await session.manager.release(task)
          throw error
        }
        await session.manager.release(task)
      }
    }
  }
}
