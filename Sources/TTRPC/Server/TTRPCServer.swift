public import NIOCore
public import RPCCore
public import SwiftProtobuf
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
public struct TTRPCServer: Sendable {
  public struct Configuration: Sendable {
    /// How many handlers of one connection run at once. Beyond it the connection is not read.
    public var maximumInFlight: Int
    /// How many bytes the requests that run may hold together, of one connection. One request is
    /// always admitted.
    public var maximumInFlightBytes: Int

    public init(maximumInFlight: Int = 1024, maximumInFlightBytes: Int = 64 << 20) {
      self.maximumInFlight = maximumInFlight
      self.maximumInFlightBytes = maximumInFlightBytes
    }
  }

  /// Where a handler runs.
  public enum Execution: Sendable {
    /// On the concurrency pool: it may compute, and nothing else waits for it.
    case pool
    /// On the connection's event loop, from the moment its request was read. Only for handlers that
    /// neither block nor compute: all connections of the loop wait for it.
    case eventLoop
  }

  /// Takes an encoded request message, returns an encoded response message.
  public typealias RawHandler =
    @Sendable (ByteBuffer, TTRPCServerContext) async throws -> ByteBuffer

  var methods = MethodTable()
  let configuration: Configuration

  public init(configuration: Configuration = Configuration()) {
    self.configuration = configuration
  }

  /// Adds a method of encoded messages. One of that name that is there already is replaced.
  public mutating func register(
    _ method: RPCMethod, execution: Execution = .pool, rawHandler: @escaping RawHandler
  ) {
    methods.insert(.init(method: method, execution: execution, handler: rawHandler))
  }

  /// Adds a method. One of that name that is there already is replaced.
  ///
  /// A request that is not a `Request` is answered Internal without calling the handler.
  public mutating func register<Request: Message, Response: Message>(
    _ method: RPCMethod, execution: Execution = .pool,
    handler: @escaping @Sendable (Request, TTRPCServerContext) async throws -> Response
  ) {
    register(method, execution: execution) { payload, context in
      let request: Request
      do {
        request = try Request(decoding: payload)
      } catch {
        throw RPCError(
          code: .internal, message: "ttrpc: error unmarshalling payload: \(error)",
          reason: .encoding)
      }
      return try await handler(request, context).encodedBuffer()
    }
  }

  /// Adds a method by its names.
  public mutating func register<Request: Message, Response: Message>(
    service: String, method: String, execution: Execution = .pool,
    handler: @escaping @Sendable (Request, TTRPCServerContext) async throws -> Response
  ) {
    register(RPCMethod(service: service, name: method), execution: execution, handler: handler)
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

/// What a handler knows of its call beside the message.
public struct TTRPCServerContext: Sendable {
  public let method: RPCMethod
  /// Who calls, as far as the transport could prove it.
  public let peer: PeerIdentity
  public let metadata: RPCMetadata
  /// How long the caller waits, from the arrival of the request. The handler's task is cancelled
  /// when it has passed, and when the connection is lost.
  public let timeout: Duration?

  public init(
    method: RPCMethod, peer: PeerIdentity = PeerIdentity(), metadata: RPCMetadata = [:],
    timeout: Duration? = nil
  ) {
    self.method = method
    self.peer = peer
    self.metadata = metadata
    self.timeout = timeout
  }
}
