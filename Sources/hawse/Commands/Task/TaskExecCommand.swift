import ArgumentParser
import ContainerdAPI
import ContainerdClient
import Glibc
import Logging
import RPCCore
import ShimManagement

struct TaskExecCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "exec", abstract: "Run a process in a task.",
    discussion: """
      EXAMPLES
        hawse task exec web -- cat /etc/hostname
        hawse task exec --tty --interactive web -- sh

      EXIT STATUS
        The process's own; 125 when hawse could not run it.
      """)

  @OptionGroup var options: GlobalOptions
  @Flag(name: [.short, .long], help: "Give the process a terminal.") var tty = false
  @Flag(name: [.short, .long], help: "Pass standard input on.") var interactive = false
  @Option(
    name: [.short, .long],
    help: ArgumentHelp("A variable of the process's environment.", valueName: "NAME=value"))
  var env: [String] = []
  @Option(help: ArgumentHelp("The process's working directory.", valueName: "dir")) var cwd: String?
  @Option(help: ArgumentHelp("The process's user, as uid[:gid].", valueName: "user"))
  var user: String?
  @Option(help: ArgumentHelp("The process's id (default: one that is free).", valueName: "id"))
  var execID: String?

  @Argument(help: "The task's id.") var id: String
  @Argument(parsing: .postTerminator, help: "The command.") var command: [String] = []

  func validate() throws {
    if command.isEmpty { throw ValidationError("Give a command after \"--\".") }
  }

  func run() async throws {
    try await reporting(as: Failure.ofRun) {
      let status = try await Session.run(options) { session in
        try await exec(session)
      }
      if status != 0 { throw ExitCode(status) }
    }
  }

  private func exec(_ session: Session) async throws -> Int32 {
    let terminal = tty ? Terminal(STDIN_FILENO) : nil
    if tty && terminal == nil {
      throw ContainerdClientError(
        .terminalUnusable, "--tty was asked for, but standard input is not a terminal")
    }
    let task = try await session.manager.load(namespace: options.namespace, id: id)
    do {
      let process = try process(for: task)
      let execID = execID ?? "exec-\(getpid())-\(UInt32.random(in: 0 ..< .max))"
      try session.manager.validate(execID: execID)
      let streams = try StandardStreams(
        .inherited(input: interactive, terminal: tty), in: task.bundle.path, named: "io")
      do {
        try await task.call("add a process to") { client throws(RPCError) in
          try await client.exec(
            TaskExec(
              id: id, execID: execID, streams: streams.locations,
              spec: TypeURL.pack(json: process, as: TypeURL.ociProcess)))
        }
      } catch {
        _ = await streams.finish(within: .milliseconds(200))
        throw error
      }
      let exit: TaskExit
      do {
        exit = try await Foreground(
          task: task, execID: execID, streams: streams, terminal: terminal, logger: session.logger
        ).run()
      } catch {
        await forget(execID, of: task, session)
        throw error
      }
      await forget(execID, of: task, session)
      await session.manager.release(task)
      return Int32(truncatingIfNeeded: exit.status)
    } catch {
      await session.manager.release(task)
      throw error
    }
  }

  private func process(for task: ShimTask) throws -> [UInt8] {
    guard let config = try task.bundle.config() else {
      throw ShimManagementError(
        code: .invalidSpec, message: "cannot add a process to \(id): its bundle has no config.json",
        hint: "The task was made by something that keeps its spec elsewhere.")
    }
    return try OCISpec(parsing: config).execProcess(
      args: command, env: env, cwd: cwd, terminal: tty,
      user: try user.map { try OCIUser(parsing: $0) })
  }

  private func forget(_ execID: String, of task: ShimTask, _ session: Session) async {
    do {
      _ = try await task.client.delete(id, execID: execID, timeout: .seconds(5))
    } catch {
      session.logger.debug(
        "the process could not be deleted", metadata: ["exec": "\(execID)", "error": "\(error)"])
    }
  }
}
