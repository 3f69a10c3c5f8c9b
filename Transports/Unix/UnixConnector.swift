internal import CLinux
internal import LinuxSystem
public import NIOCore
public import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Dials unix sockets: files and abstract names.
///
/// The socket is made here rather than by NIO, which pads abstract names with NUL bytes, so that no
/// peer that compares them exactly is ever found, and takes no path above 103 bytes.
///
/// The peer is the process that called listen(2), as SO_PEERCRED tells; by default it must be of
/// this process's effective user. It is checked before a byte is written or read.
public struct UnixConnector: Connector {
  public let transport = "unix"

  public init() {}

  public func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    let clock = ContinuousClock()
    let began = clock.now
    let name = try UnixSocketName(address)
    let unix = try UnixSocket()
    let socket = ClientSocket(owning: unix.descriptor)
    let errno = await socket.connectThroughBacklog(within: options.tryLimit) { name.connect(unix) }
    guard errno == 0 else {
      socket.close()
      throw UnixConnectFailure(name: name, errno: errno).failure
    }
    return try await socket.connection(
      to: address, options, policy: .sameUser, timings: [PhaseTiming(.connect, clock.now - began)],
      configure: configure, identify: identify)
  }

  private func identify(_ descriptor: CInt) throws(AttemptFailure) -> PeerIdentity {
    var credentials = clinux_peer_credentials()
    let result = clinux_peer_credentials(descriptor, &credentials)
    guard result == 0 else {
      throw AttemptFailure(
        phase: .identity, errno: -result,
        message: "the kernel does not tell who the peer is: "
          + errnoText(-result), outlook: .fatal)
    }
    return PeerIdentity(credentials)
  }
}

extension PeerIdentity {
  init(_ credentials: clinux_peer_credentials) {
    self.init(
      unix: UnixProcess(pid: credentials.pid, uid: credentials.uid, gid: credentials.gid))
  }
}
