import ArgumentParser

/// What every command that works on sandboxes and tasks takes.
struct GlobalOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Where running state is kept.", valueName: "dir"))
  var state = "/run/hawsepipe"

  @Option(help: ArgumentHelp("Where tasks' work directories are kept.", valueName: "dir"))
  var root = "/var/lib/hawsepipe"

  @Option(
    name: [.short, .long], help: ArgumentHelp("The namespace to work in.", valueName: "name"))
  var namespace = "default"

  @Flag(help: "Print JSON.") var json = false

  @Flag(help: "Say on standard error what is done, and have shims log at debug level.")
  var debug = false
}
