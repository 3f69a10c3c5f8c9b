import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import TCPTransport
import TLSTransport
import TransportCore

/// The servers and clients that are compared. All servers share one event loop, all clients another.
final class TLSEnds {
  /// Connects; the connection is to send so many bytes, in pieces of a size.
  typealias Dial = (_ size: Int, _ total: Int) async throws -> BulkConnection

  private let servers = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let clients = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let total: Int
  private let authority: PrivateAuthority
  private let serverPair: PrivateAuthority.Pair
  private let clientPair: PrivateAuthority.Pair
  private var listening: [Task<Void, Never>] = []
  private var channels: [any Channel] = []

  /// - Parameter total: the bytes after which a server answers.
  init(answeringAfter total: Int) async throws {
    self.total = total
    authority = try PrivateAuthority()
    serverPair = try authority.issue(.server, names: [.dns("localhost")])
    clientPair = try authority.issue(.client, names: [.uri("spiffe://example.org/client")])
  }

  func close() async throws {
    for task in listening {
      task.cancel()
      await task.value
    }
    for channel in channels { try await channel.close() }
    try await servers.shutdownGracefully()
    try await clients.shutdownGracefully()
  }

  func floor(_ work: FloorTimes.Work) -> FloorTimes {
    FloorTimes(work: work, authority: authority, server: serverPair, client: clientPair)
  }

  // MARK: Ours

  func ours(mutual: Bool = false, resumes: Bool = false) async throws -> Dial {
    let server = TLSTransport.TLSConfiguration {
      $0.certificate = .pem(serverPair.certificate)
      $0.key = .pem(serverPair.key)
      $0.clientCertificates = mutual ? .required : .none
      if mutual { $0.authority = .pem(authority.certificate) }
      $0.resumesSessions = resumes
    }
    let client = TLSTransport.TLSConfiguration {
      $0.authority = .pem(authority.certificate)
      $0.serverName = "localhost"
      $0.resumesSessions = resumes
      guard mutual else { return }
      $0.certificate = .pem(clientPair.certificate)
      $0.key = .pem(clientPair.key)
    }
    return try await ours(["tls"], TLSLayer(client: client, server: server))
  }

  /// The same without TLS.
  func oursPlain() async throws -> Dial { try await ours([], TLSLayer()) }

  private func ours(_ layers: [String], _ layer: TLSLayer) async throws -> Dial {
    var registry = TransportRegistry()
    registry.register(TCPConnector())
    registry.register(TCPListenerFactory())
    registry.register(layer)
    let listener = try await registry.listen(
      at: TransportAddress(layers: layers, place: .tcp(host: "127.0.0.1", port: 0)),
      options: ListenOptions(group: servers))
    let total = total
    listening.append(
      Task {
        do {
          try await listener.run { channel in
            try channel.pipeline.syncOperations.addHandler(BulkSink(total))
          } onConnection: { connection in
            // Closed with an error is closed.
            try? await connection.channel.closeFuture.get()
          }
        } catch {
          print("the listener failed: \(error)")
        }
      })
    let address = listener.boundAddress
    let options = ConnectOptions(group: clients)
    let connector = try registry.connector(for: address)
    return { size, total in
      let done = self.clients.any().makePromise(of: Void.self)
      let connection = try await connector.connect(to: address, options: options) { channel in
        try channel.pipeline.syncOperations.addHandler(BulkSource(size, total, done))
      }
      return BulkConnection(
        channel: connection.channel, done: done.futureResult,
        handshake: connection.timings.first { $0.phase == .tls }?.duration)
    }
  }

  // MARK: NIOSSL

  func peer(mutual: Bool = false) async throws -> Dial {
    let ca = NIOSSLTrustRoots.certificates(
      [try NIOSSLCertificate(bytes: authority.certificate, format: .pem)])
    var server = NIOSSL.TLSConfiguration.makeServerConfiguration(
      certificateChain: [
        .certificate(try NIOSSLCertificate(bytes: serverPair.certificate, format: .pem))
      ],
      privateKey: .privateKey(try NIOSSLPrivateKey(bytes: serverPair.key, format: .pem)))
    var client = NIOSSL.TLSConfiguration.makeClientConfiguration()
    client.trustRoots = ca
    if mutual {
      server.trustRoots = ca
      server.certificateVerification = .noHostnameVerification
      client.certificateChain = [
        .certificate(try NIOSSLCertificate(bytes: clientPair.certificate, format: .pem))
      ]
      client.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: clientPair.key, format: .pem))
    }
    let serverContext = try NIOSSLContext(configuration: server)
    let clientContext = try NIOSSLContext(configuration: client)
    return try await bootstrap {
      [NIOSSLServerHandler(context: serverContext)]
    } client: { ready in
      [try NIOSSLClientHandler(context: clientContext, serverHostname: "localhost"), Ready(ready)]
    }
  }

  // MARK: Plain

  func plain() async throws -> Dial {
    try await bootstrap {
      []
    } client: { ready in
      ready.succeed(())
      return []
    }
  }

  private func bootstrap(
    server: @escaping @Sendable () -> [any ChannelHandler],
    client: @escaping @Sendable (EventLoopPromise<Void>) throws -> [any ChannelHandler]
  ) async throws -> Dial {
    let total = total
    let listening = try await ServerBootstrap(group: servers)
      .serverChannelOption(.backlog, value: 1024)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandlers(server() + [BulkSink(total)])
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    channels.append(listening)
    guard let address = listening.localAddress else { throw Problem("a listener without address") }
    return { size, total in
      let ready = self.clients.any().makePromise(of: Void.self)
      let done = self.clients.any().makePromise(of: Void.self)
      let channel = try await ClientBootstrap(group: self.clients)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandlers(
              client(ready) + [BulkSource(size, total, done)])
          }
        }
        .connect(to: address).get()
      try await ready.futureResult.get()
      return BulkConnection(channel: channel, done: done.futureResult)
    }
  }
}

/// A connection whose ``BulkSource`` waits to be started.
struct BulkConnection {
  let channel: any Channel
  let done: EventLoopFuture<Void>
  /// What of the connect was TLS's, as ours tells.
  var handshake: Duration?

  func exchange() async throws {
    let channel = channel
    try await channel.eventLoop.submit { try BulkSource.start(on: channel) }.get()
    try await done.get()
  }
}

/// Tells when the handshake is through.
private final class Ready: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let promise: EventLoopPromise<Void>

  init(_ promise: EventLoopPromise<Void>) { self.promise = promise }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case TLSUserEvent.handshakeCompleted? = event as? TLSUserEvent { promise.succeed(()) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    promise.fail(error)
    context.fireErrorCaught(error)
  }
}
