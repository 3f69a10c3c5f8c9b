import Foundation

/// What `hawse tls init` wrote, and what to try with it.
struct TLSInitReport: Encodable {
  var directory: String
  var names: [String]
  /// ISO 8601, UTC.
  var notAfter: String
  var files: [String]
  /// Commands, to be run one beside the other.
  var serve: String
  var check: String

  init(directory: String, names: [String], notAfter: Date, files: [TrialMaterial.File]) {
    self.directory = directory
    self.names = names
    self.notAfter = notAfter.formatted(.iso8601)
    self.files = files.map(\.name)
    let host = names.first { !$0.contains("://") && !$0.contains("*") } ?? names[0]
    let isLocal = ["localhost", "127.0.0.1", "::1"].contains(host)
    let place = host.contains(":") ? "[\(host)]" : host
    let path = Self.quoted(directory)
    serve =
      "hawse proxy --tls-profile \(path)/server.profile tls://\(isLocal ? place : "0.0.0.0"):9443 "
      + "exec://?arg=cat"
    check =
      "echo hello | hawse dial --tls-profile \(path)/client.profile tls://\(place):9443"
  }

  func print() {
    for file in files { Swift.print("wrote    \(directory)/\(file)") }
    Swift.print("names    \(names.joined(separator: ", "))")
    Swift.print("client   \(TrialMaterial.clientName)")
    Swift.print("expires  \(notAfter)")
    Swift.print("try      \(serve)")
    Swift.print("and      \(check)")
  }

  /// As a shell takes it.
  private static func quoted(_ text: String) -> String {
    let plain = text.utf8.allSatisfy {
      $0 >= 0x80 || Character(UnicodeScalar($0)).isLetter || Character(UnicodeScalar($0)).isNumber
        || "/._-+@:".utf8.contains($0)
    }
    return plain && !text.isEmpty
      ? text : "'" + text.replacingOccurrences(of: "'", with: "'\\''") + "'"
  }
}
