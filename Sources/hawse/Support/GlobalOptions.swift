import ArgumentParser
import ShimManagement

/// What every command that works on sandboxes and tasks takes.
struct GlobalOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Where running state is kept.", valueName: "dir"))
  var state = "/run/hawsepipe"

  @Option(help: ArgumentHelp("Where tasks' work directories are kept.", valueName: "dir"))
  var root = "/var/lib/hawsepipe"

  @Option(
    name: [.short, .long], help: ArgumentHelp("The namespace to work in.", valueName: "name"))
  var namespace = "default"

  @Option(
    help: ArgumentHelp(
      "How long a shim may take to start (default: 30) and to answer (default: 60).",
      valueName: "seconds"))
  var timeout: Double?

  @OptionGroup var tls: TLSFlags

  @Flag(help: "Print JSON.") var json = false

  @Flag(help: "Say on standard error what is done, and have shims log at debug level.")
  var debug = false

  func validate() throws {
    // A day: what is more cannot be meant.
    if let timeout, !(timeout > 0 && timeout <= 86_400) {
      throw ValidationError("--timeout is a number of seconds above 0, and at most 86400.")
    }
  }

  /// How long the manager waits for shims.
  var limits: ShimManager.Limits {
    var limits = ShimManager.Limits()
    guard let timeout else { return limits }
    let limit = Duration.seconds(timeout)
    limits.start = limit
    limits.change = limit
    limits.connect = min(limit, limits.connect)
    limits.query = min(limit, limits.query)
    return limits
  }
}
