import ArgumentParser
import Foundation
import Glibc
import TLSTransport
import TransportCore

struct TLSInit: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Make a private CA with a certificate for a server and one for a client.",
    discussion: """
      Writes ca.pem, server.pem, server.key, client.pem and client.key, and the profiles \
      server.profile and client.profile, which --tls-profile and HAWSE_TLS_PROFILE take. Keys are \
      ECDSA P-256. Files are for their owner only. Nothing that is there is overwritten without \
      --force, and no file is ever there in part.

      The CA's key is not kept, so nobody can make further certificates that its peers trust; --force \
      makes all of them anew. This is for trying things out and for tests: it revokes nothing.

      EXAMPLES
        hawse tls init
        hawse tls init --name build-7 --name 10.0.0.7 --days 30 /etc/hawsepipe/tls
        hawse tls init --force --json pki

      EXIT STATUS
        0 when all was written, 1 when something is there already or could not be written, 64 when \
        the command line was wrong.
      """)

  @Option(
    help: ArgumentHelp(
      "What clients call the server: a DNS name, IP literal or URI; may be repeated (default: "
        + "localhost, 127.0.0.1, ::1 and this host's name).", valueName: "name"))
  var name: [String] = []

  @Option(help: ArgumentHelp("How long all of them are valid.", valueName: "days")) var days = 365

  @Flag(help: "Replace what is there.") var force = false
  @Flag(help: "Print JSON.") var json = false

  @Argument(help: "Where to write; made when it is not there.") var directory = "hawse-tls"

  func validate() throws {
    // The calendar of a certificate ends in 9999; ten years are more than a trial needs.
    guard (1...3650).contains(days) else {
      throw ValidationError("--days is a number of days from 1 to 3650.")
    }
    for text in name { _ = try Self.peerName(text) }
  }

  func run() async throws {
    try await reporting {
      let names = name.isEmpty ? Self.defaultNames : name
      let material = try TrialMaterial(names: names.map(Self.peerName), days: days)
      let folder = try PrivateFolder(directory)
      try folder.write(material.files, force: force)
      let report = TLSInitReport(
        directory: directory, names: names, notAfter: material.notAfter, files: material.files)
      if json { try Output.json(report) } else { report.print() }
    }
  }

  static var defaultNames: [String] {
    var name = [CChar](repeating: 0, count: 256)
    let isKnown = gethostname(&name, name.count - 1) == 0
    let bytes = name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))
    let host = isKnown ? String(decoding: bytes, as: UTF8.self) : ""
    let names = ["localhost", "127.0.0.1", "::1"]
    // A host without a name, or with one that no certificate can have, has the others.
    guard !names.contains(host), (try? peerName(host)) != nil else { return names }
    return names + [host]
  }

  static func peerName(_ text: String) throws -> TLSPeerName {
    if text.contains("://") {
      guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ",") }) else {
        throw ValidationError("\"\(text)\" is not a URI that a certificate can have.")
      }
      return .uri(text)
    }
    let name = TLSPeerName(host: text)
    guard case .dns = name else { return name }
    let labels = text.split(separator: ".", omittingEmptySubsequences: false)
    let isName =
      text.utf8.count <= 253
      && labels.enumerated().allSatisfy { index, label in
        (1...63).contains(label.utf8.count)
          && (label == "*" && index == 0 && labels.count > 1
            || label.utf8.allSatisfy {
              $0 < 0x80 && (Character(UnicodeScalar($0)).isLetter || (0x30...0x39).contains($0))
                || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
            })
      }
    guard isName else {
      throw ValidationError(
        "\"\(text)\" is not a name: give a DNS name, an IP literal or a URI, without a port.")
    }
    return name
  }
}
