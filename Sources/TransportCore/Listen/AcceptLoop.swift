internal import LinuxSystem
public import Logging
public import NIOCore
internal import NIOPosix
internal import Synchronization

#if canImport(Glibc)
  internal import Glibc
#endif

/// Accepts on a listening socket, checks each peer, and hands the connections to child tasks: the
/// part of a ``Listener`` that every transport with sockets shares.
public final class AcceptLoop: Sendable {
  /// Finds out who is at the other end of an accepted channel, on its event loop, before a byte of
  /// it is read.
  public typealias Identify = @Sendable (any Channel) -> EventLoopFuture<PeerIdentity>

  private let address: TransportAddress
  private let identify: Identify
  private let logger: Logger
  private let report: AcceptReport
  private let counts = Mutex(ListenerStatistics())
  private let stop = Mutex(Stop())

  private struct Stop {
    var isWanted = false
    var server: (any Channel)?
  }

  public init(
    address: TransportAddress, logger: Logger, observer: (any ConnectionObserver)? = nil,
    identify: @escaping Identify
  ) {
    self.address = address
    self.logger = logger
    self.report = AcceptReport(address: address, logger: logger, observer: observer)
    self.identify = identify
  }

  public var statistics: ListenerStatistics { counts.withLock { $0 } }

  /// The listening channel, once there is one.
  var server: (any Channel)? { stop.withLock { $0.server } }

  /// Ends accepting. ``run(descriptor:backlog:group:policy:configure:onConnection:)`` returns when
  /// the connections that it has accepted have ended.
  public func stopAccepting() {
    let server = stop.withLock { stop in
      stop.isWanted = true
      return stop.server
    }
    server?.close(promise: nil)
  }

  /// Accepts until the calling task is cancelled, as ``Listener/run(policy:configure:onConnection:)``
  /// describes.
  ///
  /// - Parameter descriptor: a bound stream socket. It is this function's from the call on, and
  ///   closed when it returns.
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/listenFailed``.
  public func run(
    descriptor: CInt, backlog: Int32, group: (any EventLoopGroup)? = nil, policy: PeerPolicy,
    configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError) {
    let (connections, arrivals) = AsyncStream<Connection>.makeStream()
    let server = try await listen(descriptor, backlog, group) { channel in
      self.admit(channel, policy: policy, configure: configure, to: arrivals)
    }
    server.closeFuture.whenComplete { _ in arrivals.finish() }
    let isStopped = stop.withLock { stop in
      stop.server = server
      return stop.isWanted
    }
    if isStopped { server.close(promise: nil) }
    await withTaskCancellationHandler {
      await withDiscardingTaskGroup { group in
        for await connection in connections {
          group.addTask { await self.serve(connection, onConnection) }
        }
      }
    } onCancel: {
      server.close(promise: nil)
      arrivals.finish()
    }
    do {
      try await server.closeFuture.get()
    } catch {
      logger.debug("The listening socket closed with an error", metadata: metadata("\(error)"))
    }
    guard Task.isCancelled || stop.withLock({ $0.isWanted }) else {
      throw TransportError(
        code: .listenFailed, message: "the socket that listened at \(address) was closed")
    }
  }

  private func listen(
    _ descriptor: CInt, _ backlog: Int32, _ group: (any EventLoopGroup)?,
    admit: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>
  ) async throws(TransportError) -> any Channel {
    do {
      return try await ServerBootstrap(group: group ?? MultiThreadedEventLoopGroup.singleton)
        .serverChannelOption(.backlog, value: backlog)
        .serverChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
              AcceptPauseHandler { self.caught($0) })
          }
        }
        .childChannelInitializer(admit)
        .withBoundSocket(descriptor).get()
    } catch {
      throw TransportError(
        code: .listenFailed, message: "cannot listen at \(address): \(error)", cause: error)
    }
  }

  private func serve(
    _ connection: Connection, _ onConnection: @Sendable (Connection) async -> Void
  ) async {
    await withTaskCancellationHandler {
      await onConnection(connection)
    } onCancel: {
      // Whoever waits for the channel's end is not woken by a cancellation alone.
      connection.channel.close(promise: nil)
    }
    do {
      try await connection.channel.close().get()
    } catch {
      // The peer or the handler was faster: the channel is closed, which is all that is wanted.
    }
  }

  // MARK: On the connection's event loop

  private func admit(
    _ channel: any Channel, policy: PeerPolicy,
    configure: @escaping @Sendable (any Channel) throws -> Void,
    to arrivals: AsyncStream<Connection>.Continuation
  ) -> EventLoopFuture<Void> {
    let began = ContinuousClock.now
    return identify(channel).flatMapThrowing { peer in
      try Self.closeOnExec(channel)
      guard policy.allows(peer) else { throw AttemptFailure.refused(peer, by: policy) }
      let connection = Connection(
        channel: channel, address: self.address, peer: peer,
        timings: [PhaseTiming(.identity, ContinuousClock.now - began)])
      // First in the pipeline, so that no handler can withhold the event from it.
      try channel.pipeline.syncOperations.addHandler(
        ArrivalHandler { self.handOver(connection, to: arrivals) })
      try configure(channel)
    }.flatMapErrorThrowing { error in
      // NIO closes the channel.
      self.caught(error)
      throw error
    }
  }

  /// NIO accepts without SOCK_CLOEXEC: a program that is started later would hold the connection open.
  private static func closeOnExec(_ channel: any Channel) throws {
    try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: CInt.self) {
      guard fcntl($0, F_SETFD, FD_CLOEXEC) >= 0 else { throw SystemError.last("fcntl") }
    }
  }

  private func handOver(
    _ connection: Connection, to arrivals: AsyncStream<Connection>.Continuation
  ) {
    switch arrivals.yield(connection) {
    case .enqueued: counts.withLock { $0.accepted += 1 }
    // Nobody accepts any more.
    case .dropped, .terminated: connection.channel.close(promise: nil)
    @unknown default: connection.channel.close(promise: nil)
    }
  }

  /// A connection that could not be admitted, or a failed accept(2). Neither ends the listener.
  private func caught(_ error: any Error) {
    switch error {
    case let failure as AttemptFailure where failure.isRefusal:
      counts.withLock { $0.refused += 1 }
      report.refused(failure)
    case let failure as IOError:
      counts.withLock { $0.acceptErrors += 1 }
      report.cannotAccept(failure)
    default:
      counts.withLock { $0.failed += 1 }
      report.failed(error)
    }
  }

  private func metadata(_ reason: String) -> Logger.Metadata {
    ["address": "\(address)", "reason": "\(reason)"]
  }
}

/// Tells when a channel has become active, once.
private final class ArrivalHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = NIOAny

  private let onActive: () -> Void

  init(_ onActive: @escaping () -> Void) { self.onActive = onActive }

  func channelActive(context: ChannelHandlerContext) {
    // The handlers behind it first: whoever is told finds the protocol begun.
    context.fireChannelActive()
    onActive()
    context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
  }
}
