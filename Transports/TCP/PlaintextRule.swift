internal import Logging
internal import TransportCore

/// Where bytes may cross a network that anybody on the way can read and change.
enum PlaintextRule {
  static let parameter = "plaintext"

  /// What an address says of it: `plaintext=yes`. An address that was received may not say so, which
  /// the core sees to.
  static func isAllowed(by address: TransportAddress) throws(InvalidParameter) -> Bool {
    switch address.parameter(parameter) {
    case nil, "no": return false
    case "yes": return true
    case .some(let other):
      throw InvalidParameter(
        message: "the parameter \(parameter) is \"\(other)\"",
        hint: "write \(parameter)=yes or \(parameter)=no")
    }
  }

  struct InvalidParameter: Error {
    let message: String
    let hint: String
  }

  private static let hint =
    "use tls+tcp; or, if the network is trusted, allow it with \(parameter)=yes in the address"

  static func dialFailure(_ host: String, _ addresses: [InternetAddress]) -> AttemptFailure {
    let list = addresses.map(\.description).joined(separator: ", ")
    let who = addresses.count == 1 && list == host ? host : "\(host) (\(list))"
    return AttemptFailure(
      phase: .connect,
      message: "\(who) is beyond this machine, where plaintext may not go unless it is allowed",
      outlook: .fatal, hint: hint)
  }

  static func listenError(_ address: TransportAddress, _ bound: InternetAddress) -> TransportError {
    TransportError(
      code: .listenFailed,
      message: "cannot listen at \(address): \(bound) is open to the network, where plaintext may "
        + "not go unless it is allowed",
      hint: hint + "; or listen at 127.0.0.1 or [::1]")
  }

  /// An error does not help once somebody has allowed it; a warning may.
  static func warn(_ logger: Logger, _ what: String, _ metadata: Logger.Metadata) {
    logger.warning(
      "\(what) in plaintext: whoever is on the way can read and change it; tls+tcp protects it",
      metadata: metadata)
  }
}
