public import TransportCore

extension TTRPCClient {
  public static func connect(
    to address: TransportAddress, using registry: ConnectorRegistry,
    options: ConnectOptions = ConnectOptions(), configuration: Configuration = Configuration()
  ) async throws(TransportError) -> TTRPCClient {
    let connection = try await registry.connect(to: address, options: options) { channel in
      try install(on: channel, peerName: "\(address)")
    }
    return await client(over: connection, configuration: configuration)
  }
}
