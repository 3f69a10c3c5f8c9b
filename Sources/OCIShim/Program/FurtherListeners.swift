internal import TransportCore

/// Addresses at which the shim serves beside its own socket, by its environment: within a guest
/// `vsock://any:1024`, which lets the host in and nobody else.
enum FurtherListeners {
  /// Addresses with commas between them, of the transports `unix`, `vsock` and `fd`.
  static let variable = "HAWSEPIPE_SHIM_LISTEN"

  /// - Throws: ``OCIShimError`` with `.invalidOptions` for text that is no address.
  static func addresses(
    _ environment: [String: String]
  ) throws(OCIShimError) -> [TransportAddress] {
    var addresses: [TransportAddress] = []
    for text in environment[variable, default: ""].split(separator: ",") {
      do {
        addresses.append(try TransportAddress(parsing: String(text)))
      } catch {
        throw OCIShimError(
          code: .invalidOptions, message: "\(variable) holds \(text.debugDescription)",
          hint: "It takes addresses such as vsock://any:1024, with commas between them.",
          cause: error)
      }
    }
    return addresses
  }
}
