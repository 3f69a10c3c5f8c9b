internal import CLinux
internal import LinuxSystem
internal import Logging
internal import NIOCore
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// The steps from an address to a listening socket.
struct TCPBinding {
  let address: TransportAddress
  let settings: TCPSettings
  let options: ListenOptions

  func endpoint(_ resolver: NameResolver) async throws(TransportError) -> InternetEndpoint {
    guard case .tcp(let host, let port) = address.place else {
      throw failed("it is not a TCP address", EAFNOSUPPORT)
    }
    do throws(InternetAddress.UnknownZone) {
      if let literal = try InternetAddress.parse(host) {
        return InternetEndpoint(literal, port: port)
      }
    } catch {
      throw failed("there is no network interface \(error.zone)", ENODEV)
    }
    // Most clients know IPv4; those that know IPv6 try both.
    var failures: [ResolutionFailure] = []
    for family in [InternetAddress.Family.v4, .v6] {
      switch await resolver.resolve(host, family) {
      case .success(let found):
        if let first = found.first { return InternetEndpoint(first, port: port) }
      case .failure(let failure): failures.append(failure)
      }
    }
    let failure = ResolutionReport(host: host, failures: failures).failure
    throw TransportError(
      code: .listenFailed, message: "cannot listen at \(address): \(failure.message)",
      hint: failure.hint)
  }

  /// - Returns: whether to warn: it is allowed, and not without danger.
  func checkPlaintext(_ bound: InternetAddress) throws(TransportError) -> Bool {
    let isAllowed: Bool
    do throws(PlaintextRule.InvalidParameter) {
      isAllowed = try PlaintextRule.isAllowed(by: address)
    } catch {
      throw TransportError(
        code: .listenFailed, message: "cannot listen at \(address): \(error.message)",
        hint: error.hint)
    }
    if bound.isLoopback { return false }
    guard options.plaintext != .loopbackOnly || isAllowed else {
      throw PlaintextRule.listenError(address, bound)
    }
    return options.plaintext != .secured
  }

  /// A listening socket, which is the caller's, and the address that it is bound to.
  func listen(
    _ endpoint: InternetEndpoint
  ) throws(TransportError) -> (descriptor: CInt, bound: TransportAddress) {
    let isIPv6 = endpoint.address.family == .v6
    let descriptor = socket(
      isIPv6 ? AF_INET6 : AF_INET,
      Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue),
      Int32(IPPROTO_TCP))
    guard descriptor >= 0 else { throw failed("no socket to be had", errno) }
    do throws(TransportError) {
      // A server that was just ended has left connections behind, which do not matter to the next.
      try set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
      if isIPv6 {
        let isOnlyIPv6 = !endpoint.address.isUnspecified
        try set(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY, isOnlyIPv6 ? 1 : 0)
      }
      let failure = settings.apply(to: descriptor)
      guard failure == 0 else { throw failed("cannot set the socket up", failure) }
      let result = endpoint.address.withSocketAddress(port: endpoint.port) {
        Glibc.bind(descriptor, $0, $1) < 0 ? errno : 0
      }
      guard result == 0 else { throw failed("cannot bind", result) }
      let listening = clinux_listen(descriptor, options.backlog)
      guard listening == 0 else { throw failed("cannot listen", -listening) }
      guard let local = InternetEndpoint(localOf: descriptor) else {
        throw failed("the kernel does not tell the port", errno)
      }
      var bound = address
      bound.place = TransportAddress(local).place
      return (descriptor, bound)
    } catch {
      close(descriptor)
      throw error
    }
  }

  private func set(
    _ descriptor: CInt, _ level: CInt, _ name: CInt, _ value: CInt
  ) throws(TransportError) {
    var value = value
    let size = socklen_t(MemoryLayout<CInt>.size)
    guard setsockopt(descriptor, level, name, &value, size) == 0 else {
      throw failed("cannot set the socket up", errno)
    }
  }

  func listener(_ descriptor: CInt, _ bound: TransportAddress, warns: Bool) -> SocketListener {
    if warns {
      let logger = options.logger ?? Logger(label: "hawsepipe.tcp.listener")
      PlaintextRule.warn(logger, "Connections are taken", ["address": "\(bound)"])
    }
    return SocketListener(
      descriptor: descriptor, address: bound, options: options, defaultPolicy: .anyone
    ) { channel in
      channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: CInt.self) {
          try PeerIdentity(tcpPeerOf: $0)
        } ?? PeerIdentity()
      }
    }
  }

  private func failed(_ what: String, _ number: CInt) -> TransportError {
    TransportError(
      code: .listenFailed,
      message: "cannot listen at \(address): \(what): \(errnoText(number)) (\(errnoName(number)))",
      hint: hint(number))
  }

  private func hint(_ number: CInt) -> String? {
    switch number {
    case EADDRINUSE: "another process listens there (ss -ltnp); stop it or choose another port"
    case EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one"
    case EADDRNOTAVAIL: "the address is not this machine's (ip address)"
    case EAFNOSUPPORT: "this machine has no IPv6: choose an IPv4 address"
    case EINVAL: "a link-local address needs its interface, such as fe80::1%eth0"
    default: nil
    }
  }
}
