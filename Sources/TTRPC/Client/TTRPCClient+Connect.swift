import RPCCore
public import TransportCore

extension TTRPCClient {
  /// Connects and makes a client of the connection.
  ///
  /// - Throws: ``TransportError``: no connector for the address, or every try failed.
  public static func connect(
    to address: TransportAddress, using connectors: TransportRegistry,
    options: ConnectOptions = ConnectOptions(), configuration: Configuration = Configuration()
  ) async throws(TransportError) -> TTRPCClient {
    let peerName = "\(address)"
    let connection = try await connectors.connect(to: address, options: options) { channel in
      try install(on: channel, peerName: peerName, budget: configuration.streams)
    }
    return await client(over: connection, configuration: configuration)
  }
}

/// Connects, runs `body` with the client on the connection's event loop, and closes the connection.
///
/// The loop is the preference of the body's task and of the child tasks that it makes, so a call
/// costs no hop between threads. `body` must not block, nor compute for long: give such work a task
/// with another preference. A body that is isolated to an actor runs there all the same.
///
/// - Throws: ``TransportError`` when there is no connection, or what `body` throws.
public func withTTRPCClient<Value>(
  to address: TransportAddress, using connectors: TransportRegistry,
  options: ConnectOptions = ConnectOptions(),
  configuration: TTRPCClient.Configuration = .init(),
  isolation: isolated (any Actor)? = #isolation,
  _ body: (TTRPCClient) async throws -> Value
) async throws -> Value {
  let client = try await TTRPCClient.connect(
    to: address, using: connectors, options: options, configuration: configuration)
  do {
    let result = try await withTaskExecutorPreference(client.executor) { try await body(client) }
    await client.close()
    return result
  } catch {
    await client.close()
    throw error
  }
}
