public import TransportCore

extension BootstrapParams {
  /// The shim's endpoint as an address that can be dialled, read by containerd's rules for shims.
  ///
  /// - Parameter origin: Where the params come from. What came from a bundle or a reply may not name
  ///   files or commands.
  /// - Throws: `TransportError` of `.invalidAddress` or `.forbiddenAddress`.
  public func endpoint(
    origin: TransportAddress.Origin = .received
  ) throws(TransportError) -> TransportAddress {
    try TransportAddress(protocolName: protocolName, shimAddress: address, origin: origin)
  }
}
