internal import LinuxSystem
public import Logging
public import NIOCore
public import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Dials TCP: names, IPv4 and IPv6 literals.
///
/// A name's addresses of both families are looked up at once and raced as RFC 8305 ("happy
/// eyeballs") describes: 50 ms for IPv6 to be known, 250 ms for each address to itself. A lookup
/// holds neither the caller nor an event loop, and is left alone when the try ends before it.
///
/// TCP proves nothing of who is at the other end, so by default anyone may be; but without a layer
/// that does (TLS), only this machine's loopback is dialled, unless ``ConnectOptions/plaintext`` or
/// the address says otherwise (`plaintext=yes`). On loopback the peer may still be any local user.
public struct TCPConnector: Connector {
  public let transport = "tcp"
  public let parameters: Set<String> = [PlaintextRule.parameter]

  public var settings: TCPSettings
  private let resolver: NameResolver
  private let logger: Logger

  /// - Parameter logger: is told of plaintext connections beyond this machine.
  public init(settings: TCPSettings = TCPSettings(), logger: Logger? = nil) {
    self.init(settings: settings, logger: logger, resolver: .system)
  }

  package init(
    settings: TCPSettings = TCPSettings(), logger: Logger? = nil, resolver: NameResolver
  ) {
    self.settings = settings
    self.logger = logger ?? Logger(label: "hawsepipe.tcp.connector")
    self.resolver = resolver
  }

  public func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    let race = try race(address, options.plaintext)
    let winner = try await race.run()
    let connection = try await winner.socket.connection(
      to: address, options, policy: .anyone, timings: winner.timings, configure: configure,
      identify: PeerIdentity.init(tcpPeerOf:))
    if options.plaintext != .secured, connection.peer.network?.isLoopback == false {
      PlaintextRule.warn(
        logger, "A connection goes", ["address": "\(address)", "peer": "\(connection.peer)"])
    }
    return connection
  }

  private func race(
    _ address: TransportAddress, _ plaintext: Plaintext
  ) throws(AttemptFailure) -> AddressRace {
    guard case .tcp(let host, let port) = address.place else {
      throw AttemptFailure(
        phase: .connect, errno: EAFNOSUPPORT, message: "\(address) is not a TCP address",
        outlook: .fatal)
    }
    guard port != 0 else {
      throw AttemptFailure(
        phase: .connect, errno: EINVAL, message: "port 0 stands for any port, to listen at",
        outlook: .fatal, hint: "name the port")
    }
    let isAllowed: Bool
    do throws(PlaintextRule.InvalidParameter) {
      isAllowed = try PlaintextRule.isAllowed(by: address)
    } catch {
      throw AttemptFailure(
        phase: .connect, errno: EINVAL, message: error.message, outlook: .fatal, hint: error.hint)
    }
    return AddressRace(
      host: host, port: port, settings: settings, resolver: resolver,
      isLoopbackOnly: plaintext == .loopbackOnly && !isAllowed)
  }
}

extension PeerIdentity {
  /// - Throws: ``AttemptFailure`` of the connect phase when the peer has gone already.
  init(tcpPeerOf descriptor: CInt) throws(AttemptFailure) {
    guard let peer = InternetEndpoint(peerOf: descriptor) else {
      throw AttemptFailure(
        phase: .connect, errno: errno,
        message: "the peer closed the connection at once: \(errnoText(errno))", outlook: .notReady)
    }
    self.init(
      network: NetworkEndpoint(
        host: peer.address.description, port: peer.port, isLoopback: peer.address.isLoopback))
  }
}
