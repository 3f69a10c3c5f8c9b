import NIOCore
import NIOPosix
import NIOSSL
import Testing
import TransportCore

/// swift-nio-ssl, on BoringSSL: another implementation at the other end.
@Suite("TLS with NIOSSL at the other end", .openSSL, .timeLimit(.minutes(5)))
enum TLSNIOSSL {
  /// A megabyte, unlike at every place.
  static let long = (0..<150_000).map { "\($0)" }.joined(separator: " ")

  static func fixture() throws -> OpenSSLFixture { try #require(OpenSSLFixture.current) }

  static func version(_ combination: TLSOpenSSL.Combination) -> TLSVersion {
    combination.version == .tls12 ? .tlsv12 : .tlsv13
  }

  private static func chain(_ pair: OpenSSLPair) throws -> [NIOSSLCertificateSource] {
    try NIOSSLCertificate.fromPEMFile(pair.certificate).map { .certificate($0) }
  }

  private static func key(_ pair: OpenSSLPair) throws -> NIOSSLPrivateKeySource {
    .privateKey(try NIOSSLPrivateKey(file: pair.key, format: .pem))
  }

  /// - Parameter clients: the CA whose clients a server wants; none: it wants no certificate.
  static func server(
    _ pair: OpenSSLPair, _ combination: TLSOpenSSL.Combination, clients: OpenSSLAuthority?
  ) throws -> TLSConfiguration {
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: try chain(pair), privateKey: try key(pair))
    configuration.minimumTLSVersion = version(combination)
    configuration.maximumTLSVersion = version(combination)
    configuration.applicationProtocols = combination.alpn.map { [$0] } ?? []
    if let clients {
      configuration.certificateVerification = .noHostnameVerification
      configuration.trustRoots = .file(clients.certificate)
    }
    return configuration
  }

  static func client(
    _ pair: OpenSSLPair?, _ combination: TLSOpenSSL.Combination, servers: OpenSSLAuthority
  ) throws -> TLSConfiguration {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.minimumTLSVersion = version(combination)
    configuration.maximumTLSVersion = version(combination)
    configuration.applicationProtocols = combination.alpn.map { [$0] } ?? []
    configuration.trustRoots = .file(servers.certificate)
    if let pair {
      configuration.certificateChain = try chain(pair)
      configuration.privateKey = try key(pair)
    }
    return configuration
  }

  /// Listens with NIOSSL while `body` runs.
  ///
  /// - Parameter body: gets the port, and what gives the connections that came.
  static func withServer<Value>(
    _ configuration: TLSConfiguration,
    _ body: (Int, () async throws -> TLSEnd) async throws -> Value
  ) async throws -> Value {
    let context = try NIOSSLContext(configuration: configuration)
    let ends = Guarded<[TLSEnd]>([])
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let heard = TLSHeard()
          try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
          try heard.listen(on: channel)
          ends.update { $0.append(TLSEnd(channel, heard)) }
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let next = { () async throws -> TLSEnd in
      try await eventually("a connection") { !ends.value.isEmpty }
      return ends.value[0]
    }
    do {
      let value = try await body(try #require(server.localAddress?.port), next)
      try await close(server, ends.value)
      return value
    } catch {
      try await close(server, ends.value)
      throw error
    }
  }

  private static func close(_ server: any Channel, _ ends: [TLSEnd]) async throws {
    try await server.close()
    for end in ends { await end.close() }
  }

  /// Dials with NIOSSL. The handshake may still be under way when this returns.
  static func dial(_ port: Int, _ configuration: TLSConfiguration) async throws -> TLSEnd {
    let context = try NIOSSLContext(configuration: configuration)
    let heard = TLSHeard()
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(
            NIOSSLClientHandler(context: context, serverHostname: OpenSSLFixture.serverName))
          try heard.listen(on: channel)
        }
      }
      .connect(host: "127.0.0.1", port: port).get()
    return TLSEnd(channel, heard)
  }
}
