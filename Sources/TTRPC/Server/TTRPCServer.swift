public import Logging
public import NIOCore
public import RPCCore
public import TransportCore

/// A ttrpc server: methods by name, served on every channel that it is given.
///
/// ```swift
/// var server = TTRPCServer()
/// server.register(method) { (request: ForwardRequest, context) in Empty() }
/// try await server.run(on: listener)
/// ```
///
/// It is a value: a channel serves the methods that were registered when it was configured.
///
/// An error that a handler throws ends its call and nothing else: an ``RPCError`` goes to the peer
/// with code, message and details; any other becomes Unknown with its description as the text.
public struct TTRPCServer: RPCRegistrar, Sendable {
  public struct Configuration: Sendable {
    /// How many handlers of one connection run at once. Beyond it the connection is not read.
    public var maximumInFlight: Int
    /// How many bytes the requests that run may hold together, of one connection: their frames and
    /// what their metadata takes. One request is always admitted. The metadata of streams is
    /// counted for itself; one more stream beyond it is answered ResourceExhausted.
    public var maximumInFlightBytes: Int

    /// How many streams of one connection may be open at once; one is open until its handler
    /// returns. One more is answered ResourceExhausted.
    public var maximumStreams: Int
    /// What the streams of one connection may hold.
    public var streams: TTRPCStreamBudget
    /// How many connections there may be at once, of all listeners that share a control. One more
    /// is closed as soon as it is accepted.
    public var maximumConnections: Int
    /// Where clients that do not speak ttrpc are logged, with what they seem to speak.
    public var logger: Logger?

    public init(
      maximumInFlight: Int = 1024, maximumInFlightBytes: Int = 64 << 20, maximumStreams: Int = 1024,
      streams: TTRPCStreamBudget = TTRPCStreamBudget(), maximumConnections: Int = 1024,
      logger: Logger? = nil
    ) {
      self.maximumInFlight = maximumInFlight
      self.maximumInFlightBytes = maximumInFlightBytes
      self.maximumStreams = maximumStreams
      self.streams = streams
      self.maximumConnections = maximumConnections
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
  ///   - policy: who may connect. `nil`: the transport's own default, which is closed.
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
        try add(to: channel, peer: nil, control)
      } onConnection: { connection in
        await serve(connection)
      }
    } catch {
      // A listener that the control closed before it could begin.
      guard control.hasEnded else { throw error }
    }
  }

  /// Tells the handler, which holds back requests until then, who the peer is; waits for the end.
  private func serve(_ connection: Connection) async {
    let channel = connection.channel
    channel.eventLoop.execute {
      // A channel that is closed already has lost its handler, and needs none.
      let handler = try? channel.pipeline.syncOperations.handler(type: ServerHandler.self)
      handler?.identify(connection.peer)
    }
    // A channel's close future cannot fail.
    try? await channel.closeFuture.get()
  }

  /// Makes a channel serve the methods. To be called on the channel's event loop before it reads:
  /// in a listener's `configure`, when ``run(on:policy:control:)`` is not enough.
  ///
  /// - Parameters:
  ///   - peer: who is at the other end, for the handlers' context.
  ///   - control: ends the connection among others, and counts it.
  /// - Throws: ``RPCError`` when the server has been ended or has as many connections as it may.
  public func configure(
    _ channel: any Channel, peer: PeerIdentity = PeerIdentity(), control: RPCServerControl? = nil
  ) throws {
    try add(to: channel, peer: peer, control)
  }

  private func add(
    to channel: any Channel, peer: PeerIdentity?, _ control: RPCServerControl?
  ) throws {
    let handler = ServerHandler(methods: methods, configuration: configuration, peer: peer)
    try channel.pipeline.syncOperations.addHandler(handler)
    guard let control else { return }
    let connection = ServerConnection(channel, handler)
    handler.connection = connection
    switch control.admit(connection, limit: configuration.maximumConnections) {
    case .admitted: break
    case .ended: throw RPCError(code: .unavailable, message: "the server is shutting down")
    case .full:
      throw RPCError(
        code: .resourceExhausted,
        message:
          "the server has \(configuration.maximumConnections) connections, and may not have more")
    }
  }
}
