import ArgumentParser

struct TaskCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "task", abstract: "Run, list, enter, kill, wait for and remove tasks.",
    subcommands: [
      TaskRun.self, TaskList.self, TaskExecCommand.self, TaskKill.self, TaskWait.self,
      TaskRemove.self,
    ])
}
