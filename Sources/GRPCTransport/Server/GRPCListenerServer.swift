#if GRPC
  internal import GRPCCore
  internal import GRPCNIOTransportHTTP2Posix
  public import Logging
  internal import NIOCore
  public import RPCCore
  public import TransportCore

  /// A gRPC server: methods by name, served on every connection of a listener.
  ///
  /// ```swift
  /// var server = GRPCListenerServer()
  /// server.register(method) { (request: ForwardRequest, context) in Empty() }
  /// try await server.run(on: listener)
  /// ```
  ///
  /// It is a value: a run serves the methods that were registered when it began.
  ///
  /// An error that a handler throws ends its call and nothing else: an ``RPCError`` goes to the peer
  /// with code, message and details; any other becomes Unknown with its description as the text.
  public struct GRPCListenerServer: RPCRegistrar, Sendable {
    public struct Configuration: Sendable {
      /// How many connections there may be at once, of all listeners that share a control. One more
      /// is closed as soon as it is accepted.
      public var maximumConnections: Int
      /// How many calls of one connection may be open at once; peers are told so in SETTINGS, and
      /// keep further calls back. One that waits for a task's end is open all that time.
      public var maximumStreams: Int
      /// The largest message that is taken and sent, in bytes. 16 MiB, as containerd has it. A
      /// larger one is answered ResourceExhausted; the call of one that is larger by more than
      /// 4 MiB is reset, since nothing of it may be kept.
      public var maximumMessageBytes: Int
      /// HTTP/2's flow control window of each call, in bytes.
      public var windowSize: Int
      /// The shortest pause between a peer's pings; one that pings more often is taken for an
      /// attack, and told to go (GOAWAY, too many pings).
      public var minimumPingInterval: Duration
      /// How long a client may take to begin HTTP/2 before its connection is closed.
      public var handshakeLimit: Duration
      /// Where clients that do not speak gRPC are logged, with what they seem to speak.
      public var logger: Logger?

      public init(
        maximumConnections: Int = 1024, maximumStreams: Int = 4096,
        maximumMessageBytes: Int = 16 << 20, windowSize: Int = 1 << 20,
        minimumPingInterval: Duration = .seconds(5), handshakeLimit: Duration = .seconds(10),
        logger: Logger? = nil
      ) {
        self.maximumConnections = maximumConnections
        self.maximumStreams = maximumStreams
        self.maximumMessageBytes = maximumMessageBytes
        self.windowSize = windowSize
        self.minimumPingInterval = minimumPingInterval
        self.handshakeLimit = handshakeLimit
        self.logger = logger
      }
    }

    var methods = MethodTable()
    let configuration: Configuration

    public init(configuration: Configuration = Configuration()) {
      self.configuration = configuration
    }

    public mutating func register(
      _ method: RPCMethod, execution: RPCExecution, unary handler: @escaping RPCUnaryHandler
    ) {
      methods.insert(.init(method: method, execution: execution, handler: .unary(handler)))
    }

    public mutating func register(
      _ method: RPCMethod, kind: RPCStreamKind, execution: RPCExecution,
      stream handler: @escaping RPCStreamHandler
    ) {
      methods.insert(
        .init(method: method, execution: execution, handler: .stream(kind, handler)))
    }

    /// Serves every connection of a listener until the calling task is cancelled or the control ends
    /// it.
    ///
    /// Cancellation closes all connections at once; ``RPCServerControl/shutDown(within:)`` is the
    /// graceful way.
    ///
    /// - Parameters:
    ///   - policy: who may connect, decided before a byte of them is read. `nil`: the transport's own
    ///     default, which is closed.
    ///   - control: ends the server. A run that begins after that returns at once.
    /// - Throws: ``TransportError`` when the listener fails.
    public func run(
      on listener: some Listener, policy: PeerPolicy? = nil,
      control: RPCServerControl = RPCServerControl()
    ) async throws(TransportError) {
      guard let run = control.begin({ listener.close() }) else { return }
      defer { control.end(run) }
      do throws(TransportError) {
        try await listener.run(policy: policy) { channel in
          try channel.pipeline.syncOperations.addHandler(
            ConnectionGate(), name: AcceptedConnection.gateName)
        } onConnection: { connection in
          await serve(connection, control)
        }
      } catch {
        // A listener that the control closed before it could begin.
        guard control.hasEnded else { throw error }
      }
    }

    /// Serves a connection until it has ended. The listener closes it when this returns.
    private func serve(_ connection: Connection, _ control: RPCServerControl) async {
      let link = ServerLink(connection.channel)
      // What is not admitted is closed unread: the gate in front of it never opens.
      guard control.admit(link, limit: configuration.maximumConnections) == .admitted else {
        return
      }
      // TLS without an agreement on `h2` is not gRPC's (RFC 9113, 3.3).
      if let tls = connection.peer.tls, tls.alpn != "h2" {
        configuration.logger?.notice(
          "A client was hung up on: it did not agree on h2 (ALPN), which gRPC needs with TLS",
          metadata: ["peer": "\(connection.peer)"])
        return
      }
      let calls = ServerCalls(
        methods: methods, connection: connection, link: link,
        maximumMessageBytes: configuration.maximumMessageBytes)
      let transport = HTTP2ServerTransport.Custom(
        listenerFactory: AcceptedConnection(connection, configuration), config: config)
      do {
        try await transport.listen { stream, context in await calls.serve(stream) }
      } catch {
        // The connection has ended before HTTP/2 began, or in the middle of it: there is nobody to
        // tell, and what the connection's end was is the listener's to report.
      }
    }

    private var config: HTTP2ServerTransport.Custom<AcceptedConnection>.Config {
      var config = HTTP2ServerTransport.Custom<AcceptedConnection>.Config.defaults
      config.connection.flushCoalescing = nil
      config.connection.keepalive.clientBehavior = .init(
        minPingIntervalWithoutCalls: configuration.minimumPingInterval, allowWithoutCalls: true)
      config.http2.targetWindowSize = configuration.windowSize
      config.http2.maxConcurrentStreams = configuration.maximumStreams
      config.rpc.maxRequestPayloadSize = configuration.maximumMessageBytes + (4 << 20)
      config.channelDebuggingCallbacks.onAcceptHTTP2Stream = { stream in
        stream.eventLoop.makeCompletedFuture {
          try stream.pipeline.syncOperations.addHandler(DrainingShield(), position: .first)
        }
      }
      return config
    }
  }

  /// Keeps the news that the connection is to end behind its last call from its calls, which the
  /// library would cancel at once.
  private final class DrainingShield: ChannelInboundHandler {
    typealias InboundIn = NIOAny
    typealias InboundOut = NIOAny

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      if event is ChannelShouldQuiesceEvent { return }
      context.fireUserInboundEventTriggered(event)
    }
  }

  /// Hands one accepted connection to the library.
  struct AcceptedConnection: HTTP2ServerTransport.ListenerFactory {
    /// The gate's name in the pipeline, where layers may have gates of their own.
    static let gateName = "grpc-gate"

    private let connection: Connection
    private let configuration: GRPCListenerServer.Configuration

    init(_ connection: Connection, _ configuration: GRPCListenerServer.Configuration) {
      self.connection = connection
      self.configuration = configuration
    }

    var eventLoopGroup: any EventLoopGroup { connection.channel.eventLoop }

    func makeListeningChannel(
      listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator,
      connectionConfigurator: HTTP2ServerTransport.ConnectionConfigurator
    ) async throws -> NIOAsyncChannel<FeedChannel.Accepted, Never> {
      let channel = connection.channel
      // The transport has taken care of TLS and ALPN.
      let isSecure = connection.peer.tls != nil
      let peerName = "\(connection.peer)"
      let configuration = configuration
      let loop = channel.eventLoop
      return try await loop.flatSubmit {
        do {
          let gate = NIOLoopBound(
            try channel.pipeline.syncOperations.context(name: Self.gateName).handler,
            eventLoop: loop)
          try channel.pipeline.syncOperations.addHandler(
            PrefaceGuard(
              limit: configuration.handshakeLimit, peerName: peerName,
              logger: configuration.logger))
          return connectionConfigurator.configure(
            channel: channel, tls: isSecure ? .configured(requireALPN: false) : .none
          ).flatMapThrowing { accepted in
            let feed = try FeedChannel.accepting(accepted, on: loop)
            (gate.value as? ConnectionGate)?.open()
            return feed
          }
        } catch {
          return loop.makeFailedFuture(error)
        }
      }.get()
    }
  }

  /// The methods that a server has.
  struct MethodTable: Sendable {
    struct Entry: Sendable {
      let method: RPCMethod
      let execution: RPCExecution
      let handler: Handler
    }

    enum Handler: Sendable {
      case unary(RPCUnaryHandler)
      case stream(RPCStreamKind, RPCStreamHandler)
    }

    private var services: [String: [String: Entry]] = [:]

    /// A method that is there already is replaced.
    mutating func insert(_ entry: Entry) {
      services[entry.method.service, default: [:]][entry.method.name] = entry
    }

    /// - Throws: Unimplemented, in words like those of Go's server.
    func find(service: String, method: String) throws(RPCError) -> Entry {
      guard let methods = services[service] else {
        throw RPCError(code: .unimplemented, message: "unknown service \(service)")
      }
      guard let entry = methods[method] else {
        throw RPCError(
          code: .unimplemented, message: "unknown method \(method) for service \(service)")
      }
      return entry
    }
  }
#endif
