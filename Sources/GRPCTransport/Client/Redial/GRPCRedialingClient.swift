#if GRPC
  public import NIOCore
  public import RPCCore
  public import TransportCore

  /// A gRPC client that connects when it is first needed, and anew when its connection was lost.
  ///
  /// Calls that are under way when the connection is lost fail, with reason `.connectionClosed`: they
  /// may have been carried out. Later ones go to a new connection. Methods that ``RetryPolicy`` names
  /// are made again instead. A stream that has been opened is never opened again.
  ///
  /// One dial serves all calls that wait for it; a call waits no longer than its own timeout. After a
  /// dial that failed, calls fail at once with its error for a pause that grows with each failure,
  /// or, with ``Configuration/waitsUntilReady``, wait for a later one.
  public final class GRPCRedialingClient: RPCCaller, Sendable {
    /// Which calls are made again when their connection was lost.
    public struct RetryPolicy: Sendable {
      /// How often a call is made, the first time included.
      public var attempts: Int
      /// Whether making the call twice does no more than making it once.
      public var isIdempotent: @Sendable (RPCMethod) -> Bool

      public init(attempts: Int = 3, isIdempotent: @escaping @Sendable (RPCMethod) -> Bool) {
        self.attempts = attempts
        self.isIdempotent = isIdempotent
      }

      public static let never = RetryPolicy(attempts: 1) { _ in false }
    }

    public struct Configuration: Sendable {
      /// For each connection.
      public var options: GRPCClientOptions
      public var retry: RetryPolicy
      public var redialing: GRPCRedialing
      /// Whether calls wait until there is a connection, however many dials fail, and no longer than
      /// their timeouts (gRPC's "wait for ready").
      public var waitsUntilReady: Bool
      /// Called for each connection that ends, when all of its calls have failed.
      public var onClose: (@Sendable (RPCCore.RPCError?) -> Void)?

      public init(
        options: GRPCClientOptions = .init(), retry: RetryPolicy = .never,
        redialing: GRPCRedialing = .init(), waitsUntilReady: Bool = false,
        onClose: (@Sendable (RPCCore.RPCError?) -> Void)? = nil
      ) {
        self.options = options
        self.retry = retry
        self.redialing = redialing
        self.waitsUntilReady = waitsUntilReady
        self.onClose = onClose
      }
    }

    public var address: TransportAddress { source.address }
    private let source: LinkSource
    private let configuration: Configuration

    /// - Parameter options: for each dial.
    public init(
      to address: TransportAddress, using connectors: TransportRegistry,
      options: ConnectOptions = ConnectOptions(), configuration: Configuration = Configuration()
    ) {
      self.configuration = configuration
      source = LinkSource(
        address, connectors, options, configuration.options, configuration.redialing,
        onClose: configuration.onClose)
    }

    deinit { source.shut()?.close() }

    /// Whether there is a connection now.
    public var isConnected: Bool { source.current?.isUsable ?? false }

    /// Connects if there is no connection.
    ///
    /// - Throws: ``RPCError`` with the ``TransportError`` as its cause.
    public func connect() async throws(RPCCore.RPCError) {
      _ = try await source.link(isPatient: false)
    }

    public nonisolated(nonsending) func call(
      _ method: RPCMethod, payload: ByteBuffer, options: RPCCallOptions
    ) async throws(RPCCore.RPCError) -> ByteBuffer {
      try await attempt(method, options) { link, options async throws(RPCError) in
        try await link.withCall { () async throws(RPCError) in
          try await ClientExchange(link, method, options).unary(payload)
        }
      }
    }

    public nonisolated(nonsending) func open(
      _ method: RPCMethod, kind: RPCStreamKind, request: ByteBuffer?, options: RPCCallOptions
    ) async throws(RPCCore.RPCError) -> any RPCCore.RPCStream {
      try await attempt(method, options) { link, options async throws(RPCError) in
        try await ClientExchange(link, method, options).open(kind, request)
      }
    }

    /// Closes the connection; calls under way and to come fail. Closing again does nothing.
    public func close() async {
      guard let link = source.shut() else { return }
      link.close()
      await link.waitUntilEnded()
    }

    private nonisolated(nonsending) func attempt<Value>(
      _ method: RPCMethod, _ options: RPCCallOptions,
      _ body: nonisolated(nonsending) (GRPCLink, RPCCallOptions) async throws(RPCError) -> Value
    ) async throws(RPCError) -> Value {
      let deadline = options.timeout.map { ContinuousClock.now + $0 }
      var options = options
      var left = configuration.retry.isIdempotent(method) ? configuration.retry.attempts : 1
      // For those of which nothing was sent, since the connection went in between.
      var unsentLeft = 3
      while true {
        let link = try await source.link(
          isPatient: configuration.waitsUntilReady, by: deadline)
        if let deadline { options.timeout = max(.zero, deadline - ContinuousClock.now) }
        do throws(RPCError) {
          return try await body(link, options)
        } catch {
          if error.cause is ClientExchange.NeverSent, unsentLeft > 0 {
            unsentLeft -= 1
            continue
          }
          left -= 1
          guard error.reason == .connectionClosed, left > 0 else { throw error }
        }
      }
    }
  }
#endif
