#if GRPC
  public import NIOCore
  public import RPCCore
  public import TransportCore

  /// A gRPC client over one connection.
  ///
  /// Calls may be made from any task, any number at once. There is no reconnecting: once the
  /// connection is gone every call fails, those under way and those to come, with reason
  /// `.connectionClosed`. The connection is closed by ``close()`` or when the last reference goes.
  public final class GRPCConnection: RPCConnection, Sendable {
    public struct Configuration: Sendable {
      /// Called once, when the connection has ended and all of its calls have failed: with the
      /// reason, or nil if ``GRPCConnection/close()`` was it. It must not block.
      public var onClose: (@Sendable (RPCCore.RPCError?) -> Void)?
      public var options: GRPCClientOptions

      public init(
        options: GRPCClientOptions = GRPCClientOptions(),
        onClose: (@Sendable (RPCCore.RPCError?) -> Void)? = nil
      ) {
        self.options = options
        self.onClose = onClose
      }
    }

    let link: GRPCLink

    init(_ link: GRPCLink) { self.link = link }

    deinit { link.close() }

    /// Connects, and waits until the server's HTTP/2 SETTINGS have come.
    ///
    /// - Throws: ``TransportError``: no connector for the address, every try failed, or what is there
    ///   does not speak gRPC.
    public static func connect(
      to address: TransportAddress, using connectors: TransportRegistry,
      options: ConnectOptions = ConnectOptions(), configuration: Configuration = Configuration()
    ) async throws(TransportError) -> GRPCConnection {
      GRPCConnection(
        try await GRPCLink.connect(
          to: address, using: connectors, connect: options, configuration.options,
          onClose: configuration.onClose))
    }

    public var peer: PeerIdentity { link.connection.peer }
    public var address: TransportAddress { link.connection.address }
    /// How long each phase of connecting took.
    public var timings: [PhaseTiming] { link.connection.timings }
    /// Whether calls can be made: the connection is there, and the server has not said that it is
    /// about to close it (GOAWAY).
    public var isConnected: Bool { link.isUsable }

    /// Sends one encoded message and waits for one.
    ///
    /// The timeout travels as `grpc-timeout` and is kept on this side too. Cancelling the task ends
    /// the call at once, on both sides.
    ///
    /// - Throws: ``RPCError``. A message larger than ``GRPCClientOptions/maximumMessageBytes`` fails
    ///   with `.resourceExhausted`, reason `.oversize`, and nothing of it is sent.
    public nonisolated(nonsending) func call(
      _ method: RPCMethod, payload: ByteBuffer, options: RPCCallOptions
    ) async throws(RPCCore.RPCError) -> ByteBuffer {
      let link = link
      return try await link.withCall { () async throws(RPCError) in
        try await ClientExchange(link, method, options).unary(payload)
      }
    }

    public nonisolated(nonsending) func open(
      _ method: RPCMethod, kind: RPCStreamKind, request: ByteBuffer?, options: RPCCallOptions
    ) async throws(RPCCore.RPCError) -> any RPCCore.RPCStream {
      try await ClientExchange(link, method, options).open(kind, request)
    }

    public func close() async {
      link.close()
      await link.waitUntilEnded()
    }

    public func waitUntilClosed() async { await link.waitUntilEnded() }
  }

  /// Makes gRPC connections, for who speaks gRPC among others.
  public struct GRPCDialer: RPCDialer {
    /// Of every connection.
    public var options: GRPCClientOptions

    public init(options: GRPCClientOptions = GRPCClientOptions()) { self.options = options }

    public var rpc: TransportAddress.RPCProtocol { .grpc }

    public func dial(
      _ address: TransportAddress, using connectors: TransportRegistry, options: ConnectOptions,
      onClose: (@Sendable (RPCCore.RPCError?) -> Void)?
    ) async throws(TransportError) -> any RPCConnection {
      try await GRPCConnection.connect(
        to: address, using: connectors, options: options,
        configuration: .init(options: self.options, onClose: onClose))
    }
  }
#endif
