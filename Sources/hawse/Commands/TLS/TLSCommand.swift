import ArgumentParser

struct TLSCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tls", abstract: "Make certificates for trying TLS out.",
    subcommands: [TLSInit.self])
}
