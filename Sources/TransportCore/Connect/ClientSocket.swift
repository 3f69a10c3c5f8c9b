internal import LinuxSystem
package import NIOCore
internal import NIOPosix

#if canImport(Glibc)
  internal import Glibc
#endif

/// A non-blocking stream socket on its way to a connection. Nobody else owns it: whoever made it
/// closes it or makes a channel of it, once.
package struct ClientSocket: Sendable {
  package let descriptor: CInt

  package init(owning descriptor: CInt) { self.descriptor = descriptor }

  package func close() {
    // On Linux the descriptor is gone whatever close(2) returns.
    _ = Glibc.close(descriptor)
  }

  /// Connects without holding a thread. The socket stays the caller's, also when this throws.
  ///
  /// - Parameter begin: calls connect(2), and returns 0 or the negative error number.
  /// - Returns: the error number: 0 when connected, ECANCELED at once when the task is cancelled.
  package func connect(_ begin: () -> CInt) async -> CInt {
    let result = begin()
    // After EINTR the connection goes on being made, as after EINPROGRESS.
    guard result == -EINPROGRESS || result == -EINTR else { return -result }
    // Within a machine it is made by now, as a rule, and waiting would cost a change of threads.
    var now = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    if poll(&now, 1, 0) != 1 {
      do throws(SystemError) {
        try await waitUntilWritable(descriptor)
      } catch {
        return error.errno
      }
    }
    var failure: CInt = 0
    var size = socklen_t(MemoryLayout<CInt>.size)
    guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &size) == 0 else { return errno }
    return failure
  }

  /// Connects to a unix socket. A full backlog is waited out in short pauses: it cannot be polled for.
  /// The socket stays the caller's.
  ///
  /// - Parameter begin: calls connect(2), and returns 0 or the negative error number.
  /// - Returns: the error number: 0 when connected, EAGAIN when the backlog was full until the limit was
  ///   over or the task cancelled.
  package func connectThroughBacklog(within limit: Duration, _ begin: () -> CInt) async -> CInt {
    let clock = ContinuousClock()
    let end = clock.now + limit
    var pause = Duration.milliseconds(1)
    while true {
      let result = begin()
      guard result == -EAGAIN, !Task.isCancelled, clock.now < end else { return -result }
      do {
        try await clock.sleep(for: pause)
      } catch {
        return EAGAIN
      }
      pause = min(pause * 2, .milliseconds(20))
    }
  }

  /// The rest of a try, once connected: finds out who the peer is, asks the policy, and makes the
  /// connection. The socket is given away, also when this throws.
  ///
  /// - Parameters:
  ///   - policy: the transport's own, where the options have none.
  ///   - timings: of the phases until now.
  package func connection(
    to address: TransportAddress, _ options: ConnectOptions, policy: PeerPolicy,
    timings: [PhaseTiming], configure: @escaping @Sendable (any Channel) throws -> Void,
    identify: (CInt) throws(AttemptFailure) -> PeerIdentity
  ) async throws(AttemptFailure) -> Connection {
    let clock = ContinuousClock()
    let began = clock.now
    let peer: PeerIdentity
    do throws(AttemptFailure) {
      peer = try identify(descriptor)
      let policy = options.policy ?? policy
      guard policy.allows(peer) else { throw AttemptFailure.refused(peer, by: policy) }
      guard !Task.isCancelled else { throw AttemptFailure.cancelled(during: .identity) }
    } catch {
      close()
      throw error
    }
    let identified = PhaseTiming(.identity, clock.now - began)
    let channel = try await channel(on: options.group) { channel in
      try configure(channel)
      channel.pipeline.fireUserInboundEventTriggered(PeerAnnouncement(peer))
    }
    guard !Task.isCancelled else {
      channel.close(promise: nil)
      throw AttemptFailure.cancelled(during: .connect)
    }
    return Connection(
      channel: channel, address: address, peer: peer, timings: timings + [identified])
  }

  /// Hands the connected socket to NIO, which owns it from there on, also when this throws.
  private func channel(
    on group: (any EventLoopGroup)?,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> any Channel {
    do {
      return try await ClientBootstrap(group: group ?? MultiThreadedEventLoopGroup.singleton)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture { try configure(channel) }
        }
        .withConnectedSocket(descriptor).get()
    } catch {
      throw AttemptFailure(
        phase: .connect, message: "the channel could not be set up: \(error)", outlook: .fatal,
        cause: error)
    }
  }
}

extension Duration {
  /// Whole microseconds, for system calls: at least 1, at most about 31 years.
  package var microseconds: Int64 {
    let limited = max(.microseconds(1), min(self, .seconds(1_000_000_000)))
    let (seconds, attoseconds) = limited.components
    return seconds * 1_000_000 + attoseconds / 1_000_000_000_000
  }
}
