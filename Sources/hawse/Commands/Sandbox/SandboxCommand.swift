import ArgumentParser

struct SandboxCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sandbox", abstract: "Start, list, inspect, watch and remove sandboxes.",
    subcommands: [
      SandboxRun.self, SandboxList.self, SandboxInspect.self, SandboxStatusCommand.self,
      SandboxPing.self, SandboxMetricsCommand.self, SandboxWait.self, SandboxStop.self,
      SandboxRemove.self,
    ])
}
