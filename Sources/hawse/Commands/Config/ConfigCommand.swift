import ArgumentParser
import SandboxControl

struct ConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config", abstract: "Check the configuration of hawse serve, or print one.",
    subcommands: [ConfigCheck.self, ConfigDefault.self])
}

struct ConfigDefault: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "default", abstract: "Print a configuration with every key and its default.",
    discussion: """
      EXAMPLES
        hawse config default > /etc/hawsepipe/serve.toml
      """)

  func run() throws { print(ServeConfiguration.defaultText, terminator: "") }
}

struct ConfigCheck: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Read a configuration, and say what is wrong with it.",
    discussion: """
      A key that is not known is an error, with its line and the key that was probably meant. What is \
      passed over is said, and no error. Nothing is connected to or started.

      EXAMPLES
        hawse config check
        hawse config check serve.toml

      EXIT STATUS
        0 when the configuration can be used, 1 when it cannot, 64 when the command line was wrong.
      """)

  @Flag(help: "Print JSON.") var json = false
  @Argument(
    help: ArgumentHelp(
      "The configuration (default: \(ServeConfiguration.defaultPath), if it is there).",
      valueName: "file"))
  var file: String?

  private struct Report: Encodable {
    var file: String?
    var state: String
    var root: String
    var address: String
    var drivers: [String]
    var runtimes: [String: String]
    var defaultDriver: String?
    var warnings: [String]
  }

  func run() async throws {
    try await reporting {
      let read = try ConfigurationFile.read(file)
      let configuration = read.configuration
      guard json else {
        for warning in configuration.warnings { print("\(read.path ?? ""): \(warning)") }
        print("\(read.path ?? "the defaults"): fine; serves at \(configuration.servedAddress)")
        return
      }
      try Output.json(
        Report(
          file: read.path, state: configuration.state, root: configuration.root,
          address: configuration.servedAddress, drivers: configuration.drivers.keys.sorted(),
          runtimes: configuration.runtimes, defaultDriver: configuration.defaultDriver,
          warnings: configuration.warnings.map(\.description)))
    }
  }
}
