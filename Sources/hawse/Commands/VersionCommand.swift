import ArgumentParser
import TransportCore

struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "Print the version and the transports that are built in.")

  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let transports = Transports.registry.transports
    if json {
      try Output.json(Report(version: HawseVersion.number, transports: transports))
    } else {
      print(HawseVersion.text)
      print("transports: \(transports.joined(separator: ", "))")
    }
  }

  private struct Report: Encodable {
    var version: String
    var transports: [String]
  }
}
