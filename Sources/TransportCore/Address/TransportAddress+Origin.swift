extension TransportAddress {
  /// What a received address may say besides its place: none of it names a file or a command, or
  /// weakens how the peer is verified. `streaming_id` and `id` are containerd's and Kuasar's.
  private static let receivedParameters: Set<String> = [
    "streaming_id", "id", "servername", "alpn",
  ]

  /// Takes the address as one from `origin`.
  ///
  /// An address must not be a way to run or open things with this process's rights: what came from a
  /// bundle, a shim or an RPC may only name a peer.
  ///
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/forbiddenAddress``.
  mutating func restrict(to origin: Origin) throws(TransportError) {
    self.origin = origin
    guard origin == .received else { return }
    switch place {
    case .unix, .abstract, .vsock, .hybridVsock, .tcp: break
    case .descriptor, .memory, .exec, .other:
      throw forbidden("the transport \"\(transport)\"")
    }
    if let layer = layers.first(where: { !AddressNames.layers.contains($0) }) {
      throw forbidden("the layer \"\(layer)\"")
    }
    let refused = parameters.first { !Self.receivedParameters.contains($0.name) }
    if let refused { throw forbidden("the parameter \"\(refused.name)\"") }
  }

  private func forbidden(_ what: String) -> TransportError {
    let allowed = Self.receivedParameters.sorted().joined(separator: ", ")
    return TransportError(
      code: .forbiddenAddress,
      message: "\(self) came from a bundle, a shim or a call, and such an address may not use "
        + "\(what): it may be unix, vsock, hvsock, tcp or tls, with the parameters \(allowed)",
      hint: "put the address into the configuration if you trust it")
  }
}
