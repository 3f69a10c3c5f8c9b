internal import CLinux
internal import LinuxSystem
public import NIOCore
internal import NIOPosix
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
    let socket = try await connect(to: name, options.tryLimit, clock)
    let connected = clock.now
    let peer: PeerIdentity
    do throws(AttemptFailure) {
      peer = try identify(socket.descriptor)
      let policy = options.policy ?? .sameUser
      guard policy.allows(peer) else { throw AttemptFailure.refused(peer, by: policy) }
      guard !Task.isCancelled else { throw AttemptFailure.cancelled(during: .identity) }
    } catch {
      socket.close()
      throw error
    }
    let timings = [
      PhaseTiming(.connect, connected - began), PhaseTiming(.identity, clock.now - connected),
    ]
    let channel = try await adopt(socket, options.group, configure)
    guard !Task.isCancelled else {
      channel.close(promise: nil)
      throw AttemptFailure.cancelled(during: .connect)
    }
    return Connection(channel: channel, address: address, peer: peer, timings: timings)
  }

  /// A connected socket. A full backlog is waited out in short pauses: it cannot be polled for.
  private func connect(
    to name: UnixSocketName, _ limit: Duration, _ clock: ContinuousClock
  ) async throws(AttemptFailure) -> UnixSocket {
    let socket = try UnixSocket()
    let began = clock.now
    var pause = Duration.milliseconds(1)
    while true {
      let result = name.connect(socket)
      if result == 0 { return socket }
      guard result == -EAGAIN, !Task.isCancelled, clock.now - began < limit else {
        socket.close()
        throw UnixConnectFailure(name: name, errno: -result).failure
      }
      do {
        try await clock.sleep(for: pause)
      } catch {
        socket.close()
        throw UnixConnectFailure(name: name, errno: EAGAIN).failure
      }
      pause = min(pause * 2, .milliseconds(20))
    }
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

  /// Hands the socket to NIO, which owns it from there on.
  private func adopt(
    _ socket: UnixSocket, _ group: (any EventLoopGroup)?,
    _ configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> any Channel {
    do {
      return try await ClientBootstrap(group: group ?? MultiThreadedEventLoopGroup.singleton)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture { try configure(channel) }
        }
        .withConnectedSocket(socket.descriptor).get()
    } catch {
      throw AttemptFailure(
        phase: .connect, message: "the channel could not be set up: \(error)", outlook: .fatal,
        cause: error)
    }
  }
}

extension PeerIdentity {
  init(_ credentials: clinux_peer_credentials) {
    self.init(
      unix: UnixProcess(pid: credentials.pid, uid: credentials.uid, gid: credentials.gid))
  }
}
