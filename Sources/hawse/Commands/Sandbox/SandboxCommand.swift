import ArgumentParser

struct SandboxCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sandbox", abstract: "Start, list, inspect and remove sandboxes.",
    subcommands: [SandboxRun.self, SandboxList.self, SandboxInspect.self, SandboxRemove.self])
}
