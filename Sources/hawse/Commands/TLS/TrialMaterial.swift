import Foundation
import TLSTransport

/// A CA, a server's and a client's certificate, and their profiles: in memory.
struct TrialMaterial {
  struct File {
    var name: String
    var bytes: [UInt8]
  }

  var files: [File]
  /// When the first of the certificates expires.
  var notAfter: Date

  /// What policies may call the client.
  static let clientName = "hawse-client"

  init(names: [TLSPeerName], days: Int) throws {
    let validity = PrivateAuthority.Validity.days(Int64(days))
    notAfter = Date().addingTimeInterval(Double(days) * 86400)
    let authority = try PrivateAuthority(validity: validity)
    let server = try authority.issue(
      .server, names: names, commonName: "hawsepipe server", validity: validity)
    let client = try authority.issue(
      .client, names: [.dns(Self.clientName)], commonName: "hawsepipe client", validity: validity)
    files = [
      File(name: "ca.pem", bytes: authority.certificate),
      File(name: "server.pem", bytes: server.certificate),
      File(name: "server.key", bytes: server.key),
      File(name: "server.profile", bytes: Self.profile("server")),
      File(name: "client.pem", bytes: client.certificate),
      File(name: "client.key", bytes: client.key),
      File(name: "client.profile", bytes: Self.profile("client")),
    ]
  }

  /// Its files are meant from where it is, so that the directory can be moved.
  private static func profile(_ side: String) -> [UInt8] {
    Array(#"{"ca": "ca.pem", "cert": "\#(side).pem", "key": "\#(side).key"}\#n"#.utf8)
  }
}
