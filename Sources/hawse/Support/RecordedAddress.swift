import TransportCore

/// An address that is written down, or given to a shim or to another command.
enum RecordedAddress {
  /// - Throws: ``TransportError`` when a reader of it would refuse it: what is read from a bundle may
  ///   not open files or run commands, so nothing that does may get there.
  static func check(
    _ text: String, option: String, registry: TransportRegistry
  ) throws(TransportError) -> TransportAddress {
    let address = try registry.parse(text)
    do throws(TransportError) {
      _ = try registry.parse(text, origin: .received)
      return address
    } catch {
      guard error.code == .forbiddenAddress else { throw error }
      let files: Set<String> = ["profile", "ca", "cert", "key"]
      if let parameter = address.parameters.first(where: { files.contains($0.name) }) {
        throw TransportError(
          code: .forbiddenAddress,
          message: "\(option) \(address) names a file with \"\(parameter.name)\", and it is "
            + "recorded, where an address may name none",
          hint: "give the files with --tls-profile or \(TLSFlags.variable)")
      }
      var explained = error
      explained.message =
        "\(option) \(address) is recorded, and a recorded address may be unix, vsock, hvsock, tcp or "
        + "tls, with the parameters alpn and servername"
      var far = address
      far.rpc = nil
      explained.hint = "bridge it with: hawse proxy unix:///run/NAME.sock '\(far)'"
      throw explained
    }
  }
}
