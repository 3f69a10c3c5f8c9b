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
    /// How many bytes the requests that run may hold together, of one connection. One request is
    /// always admitted.
    public var maximumInFlightBytes: Int

    /// How many streams of one connection may be open at once; one is open until its handler
    /// returns. One more is answered ResourceExhausted.
    public var maximumStreams: Int
    /// What the streams of one connection may hold.
    public var streams: TTRPCStreamBudget

    public init(
      maximumInFlight: Int = 1024, maximumInFlightBytes: Int = 64 << 20, maximumStreams: Int = 1024,
      streams: TTRPCStreamBudget = TTRPCStreamBudget()
    ) {
      self.maximumInFlight = maximumInFlight
      self.maximumInFlightBytes = maximumInFlightBytes
      self.maximumStreams = maximumStreams
      self.streams = streams
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

  /// Serves every connection of a listener until the calling task is cancelled.
  ///
  /// - Parameter policy: who may connect. `nil`: the transport's own default, which is closed.
  /// - Throws: ``TransportError`` when the listener fails.
  public func run(
    on listener: some Listener, policy: PeerPolicy? = nil
  ) async throws(TransportError) {
    try await listener.run(policy: policy) { channel in
      try channel.pipeline.syncOperations.addHandler(handler(for: nil))
    } onConnection: { connection in
      await serve(connection)
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
  /// in a listener's `configure`, when ``run(on:policy:)`` is not enough.
  ///
  /// - Parameter peer: who is at the other end, for the handlers' context.
  public func configure(_ channel: any Channel, peer: PeerIdentity = PeerIdentity()) throws {
    try channel.pipeline.syncOperations.addHandler(handler(for: peer))
  }

  private func handler(for peer: PeerIdentity?) -> ServerHandler {
    ServerHandler(methods: methods, configuration: configuration, peer: peer)
  }
}
