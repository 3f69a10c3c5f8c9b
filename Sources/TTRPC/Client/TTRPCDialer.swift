public import RPCCore
public import TransportCore

extension TTRPCClient: RPCConnection {}

/// Makes ttrpc connections, for who speaks ttrpc among others.
public struct TTRPCDialer: RPCDialer {
  /// Of every connection. Its `onClose` gives way to the one of each dial.
  public var configuration: TTRPCClient.Configuration

  public init(configuration: TTRPCClient.Configuration = .init()) {
    self.configuration = configuration
  }

  public var rpc: TransportAddress.RPCProtocol { .ttrpc }

  public func dial(
    _ address: TransportAddress, using connectors: TransportRegistry, options: ConnectOptions,
    onClose: (@Sendable (RPCError?) -> Void)?
  ) async throws(TransportError) -> any RPCConnection {
    var configuration = configuration
    configuration.onClose = onClose
    return try await TTRPCClient.connect(
      to: address, using: connectors, options: options, configuration: configuration)
  }
}
