#if GRPC
  /// What a gRPC client's connections are like. Those of ``GRPCConnection``,
  /// ``GRPCRedialingClient`` and ``ConnectorClientTransport`` are the same.
  public struct GRPCClientOptions: Sendable {
    /// Pings that find out whether a silent peer is still there.
    public struct Keepalive: Sendable {
      /// How long nothing has come before a ping is sent. Servers may take less than 5 minutes for an
      /// attack (grpc-go does) and close the connection.
      public var time: Duration
      /// How long its answer may take.
      public var timeout: Duration
      /// Whether to ping while there is no call.
      public var withoutCalls: Bool

      public init(
        time: Duration, timeout: Duration = .seconds(20), withoutCalls: Bool = false
      ) {
        self.time = time
        self.timeout = timeout
        self.withoutCalls = withoutCalls
      }
    }

    /// The pseudo-header `:authority`. `nil`: host and port of a tcp address, the TLS server name
    /// where an address has one, else `localhost`, as grpc-go has it for unix sockets.
    public var authority: String?
    /// The largest message that is taken from the peer and sent to it, in bytes. 16 MiB, as
    /// containerd has it.
    public var maximumMessageBytes: Int
    /// `nil`: none, which is gRPC's default.
    public var keepalive: Keepalive?
    /// How long a server may take to send its SETTINGS, once it is connected to. The connect
    /// options' time-out bounds it, too.
    public var handshakeLimit: Duration
    /// HTTP/2's flow control window of each stream, in bytes.
    public var windowSize: Int

    public init(
      authority: String? = nil, maximumMessageBytes: Int = 16 << 20, keepalive: Keepalive? = nil,
      handshakeLimit: Duration = .seconds(10), windowSize: Int = 8 << 20
    ) {
      self.authority = authority
      self.maximumMessageBytes = maximumMessageBytes
      self.keepalive = keepalive
      self.handshakeLimit = handshakeLimit
      self.windowSize = windowSize
    }
  }
#endif
