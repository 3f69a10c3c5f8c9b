public import Logging
public import TransportCore

/// TLS around any transport: `tls` in addresses.
///
/// It is configured, from the weakest to the strongest, by what the program says (`client` and
/// `server`), by a profile file that the address names, and by the address's parameters. A received
/// address brings a server name and application protocols and nothing else.
public struct TLSLayer: TransportLayer {
  public let name = "tls"
  public let isSecure = true

  private let client: TLSConfiguration
  private let server: TLSConfiguration
  private let store: TLSCredentialStore

  public init(
    client: TLSConfiguration = TLSConfiguration(), server: TLSConfiguration = TLSConfiguration(),
    logger: Logger? = nil
  ) {
    self.client = client
    self.server = server
    store = TLSCredentialStore(logger: logger)
  }

  /// The same for both sides.
  public init(_ configuration: TLSConfiguration, logger: Logger? = nil) {
    self.init(client: configuration, server: configuration, logger: logger)
  }

  /// As a profile file says, for both sides: what an address would name by `profile=`, for all
  /// addresses of a program. What the profile says of one side only (`servername`, `clientcert`) is
  /// that side's; an address's own parameters still come before it.
  ///
  /// Reads the file at once, which blocks for as long as the disk takes. The certificates and the key
  /// that it names are read when they are first needed, and again when they change; the profile is
  /// not.
  ///
  /// - Parameter path: a relative one is meant from the working directory.
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/invalidConfiguration``: the
  ///   file cannot be read or is no profile, or what it says does not go together.
  public init(profile path: String, logger: Logger? = nil) throws(TransportError) {
    do throws(TLSError) {
      let settings = try TLSProfile.read(path)
      var server = TLSConfiguration()
      try settings.apply(to: &server, role: .server)
      try server.check(for: .client)
      var client = server
      client.clientCertificates = TLSConfiguration().clientCertificates
      server.serverName = nil
      self.init(client: client, server: server, logger: logger)
    } catch {
      throw TransportError(
        code: .invalidConfiguration, message: error.message, hint: error.hint, cause: error)
    }
  }

  public var parameters: Set<String> { TLSParameter.names }

  public func connector(over inner: any Connector) -> any Connector {
    TLSConnector(inner: inner, configuration: client, store: store)
  }

  public func checkListening(at address: TransportAddress) async throws(TransportError) {
    _ = try await credentials(listeningAt: address)
  }

  public func listener(
    over inner: any Listener, at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener {
    TLSListener(
      inner: inner, address: address, options: options,
      credentials: try await credentials(listeningAt: address))
  }

  private func credentials(
    listeningAt address: TransportAddress
  ) async throws(TransportError) -> TLSCredentials {
    do throws(TLSError) {
      let configuration = try await server.resolved(for: address, role: .server)
      return try await store.credentials(configuration, .server)
    } catch {
      throw TransportError(
        code: .listenFailed, message: "cannot listen at \(address): \(error.message)",
        hint: error.hint, cause: error)
    }
  }

  /// The credentials in use, of connectors and listeners.
  public var credentials: [TLSCredentials] { store.all }

  /// Reads all files in use again, without waiting for their being looked at.
  ///
  /// - Returns: what does not work; there the last good credentials stay in use.
  public func reload() async -> [TLSError] {
    var problems: [TLSError] = []
    for credentials in store.all {
      do throws(TLSError) {
        try await credentials.reload()
      } catch {
        problems.append(error)
      }
    }
    return problems
  }
}
