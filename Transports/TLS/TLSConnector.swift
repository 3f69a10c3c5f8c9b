internal import NIOCore
internal import TransportCore

/// Dials through another connector and speaks TLS over what that gives.
struct TLSConnector: Connector {
  let inner: any Connector
  let configuration: TLSConfiguration
  let store: TLSCredentialStore

  var transport: String { inner.transport }
  var parameters: Set<String> { inner.parameters.union(TLSParameter.names) }

  func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    let (context, target) = try await prepare(address)
    let limit = TimeAmount(min(options.tryLimit, .seconds(3600)))
    let policy = options.policy ?? .anyone
    let handshakes = TLSHandshakes()
    let connection = try await inner.attempt(address.inner, options: options.beneathLayer) {
      channel in
      let engine = try TLSEngine(
        context, serverName: target.serverName, expecting: target.names, sessionKey: target.key)
      try TLSHandler.add(engine, limit, to: channel, handshakes.add(channel, policy))
      try configure(channel)
    }
    do throws(AttemptFailure) {
      return try await TLSHandler.admit(
        connection, at: address, policy: policy, handshakes.of(connection.channel))
    } catch {
      await connection.channel.closeAndWait()
      throw error
    }
  }

  private func prepare(
    _ address: TransportAddress
  ) async throws(AttemptFailure) -> (TLSContext, TLSTarget) {
    do throws(TLSError) {
      let configuration = try await configuration.resolved(for: address, role: .client)
      let target = try TLSTarget(configuration, address)
      let credentials = try await store.credentials(configuration, .client)
      await credentials.refresh()
      return (credentials.context, target)
    } catch {
      throw AttemptFailure(error)
    }
  }
}

/// What a client says and expects of a server.
struct TLSTarget {
  var serverName: String?
  var names: [TLSPeerName]
  /// Connections with the same key may resume each other's sessions.
  var key: String

  init(_ configuration: TLSConfiguration, _ address: TransportAddress) throws(TLSError) {
    var host: String?
    if case .tcp(let name, _) = address.place { host = name }
    let asked = configuration.serverName ?? host
    // Names only: a literal is not allowed there (RFC 6066, 3).
    serverName = asked.flatMap { IPLiteral.bytes($0) == nil ? $0 : nil }
    names = configuration.peerNames
    if names.isEmpty, configuration.verification == .full {
      guard let asked else {
        throw TLSError(
          .configuration, "nothing says whose certificate to expect at \(address)",
          hint: "give its name with servername=, or its URI with uri= or trustdomain=")
      }
      names = [TLSPeerName(host: asked)]
    }
    if configuration.verification == .none { names = [] }
    var place = address
    (place.rpc, place.layers, place.parameters) = (nil, [], [])
    key = "\(place.text) \(serverName ?? "") \(names)"
  }
}

extension AttemptFailure {
  init(_ error: TLSError) {
    let outlook: Outlook =
      switch error.code {
      case .closedInHandshake, .timedOut: .notReady
      case .libraryFailed: .transient
      default: .fatal
      }
    self.init(
      phase: .tls, message: error.message, outlook: outlook, hint: error.hint, cause: error)
  }
}
