import ArgumentParser
import TransportCore

struct AddressCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "address", abstract: "Work with addresses.", subcommands: [AddressParse.self])
}

struct AddressParse: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "parse", abstract: "Show what an address means, or where it is wrong.",
    discussion: """
      EXAMPLES
        hawse address parse ttrpc+unix:///run/pod1.sock
        hawse address parse --lenient vsock://3:1024/
        hawse address parse --received 'exec://?command=id'    (refused: from a peer)
      """)

  @Argument(help: "The address, such as ttrpc+vsock://3:1024.") var address: String
  @Flag(help: "Accept the field's sloppy forms, and say what was corrected.") var lenient = false
  @Flag(help: "Judge it as one that came from a bundle, a shim's reply or an RPC.")
  var received = false
  @Flag(help: "Print JSON.") var json = false

  func run() async throws {
    try await reporting {
      let origin: TransportAddress.Origin = received ? .received : .configured
      var corrections: [String] = []
      let parsed: TransportAddress
      if lenient {
        let result = try TransportAddress.parseLenient(address, origin: origin)
        parsed = result.address
        corrections = result.corrections.map { "\($0)" }
      } else {
        parsed = try Transports.registry.parse(address, origin: origin)
      }
      let report = AddressReport(parsed, corrections: corrections)
      if json { try Output.json(report) } else { report.print() }
    }
  }
}
