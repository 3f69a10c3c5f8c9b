import Glibc
import NIOCore
import Synchronization
import TransportConformance
import TransportCore
import UnixTransport

/// What a defective transport leaves open, until the test closes it.
final class Leaks: Sendable {
  private let descriptors = Mutex<[CInt]>([])
  private let connections = Mutex(0)

  /// Every hundredth connection leaks.
  func leak() {
    let count = connections.withLock {
      $0 += 1
      return $0
    }
    guard count % 100 == 0 else { return }
    let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
    descriptors.withLock { $0.append(descriptor) }
  }

  func close() {
    descriptors.withLock { descriptors in
      for descriptor in descriptors { Glibc.close(descriptor) }
      descriptors = []
    }
  }
}

/// Dials unix sockets, with one thing wrong.
struct DefectiveConnector: Connector {
  let transport = "unix"
  let defect: Defect?
  let leaks: Leaks

  func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    var inner = options
    switch defect {
    case .opensBeforePolicy: inner.policy = .anyone
    case .ignoresTheGroup: inner.group = nil
    case .ignoresCancellation: inner.tryLimit = .seconds(60)
    case .leaksDescriptors: leaks.leak()
    default: break
    }
    var connection: Connection
    do throws(AttemptFailure) {
      connection = try await dial(address, inner, configure)
    } catch {
      var failure = error
      if defect == .takesNobodyForFatal { failure.outlook = .fatal }
      throw failure
    }
    if defect == .tellsNoTimings { connection = connection.withoutTimings }
    if defect == .setsHandlersUpLate { await Self.configureLate(connection.channel, configure) }
    if let policy = options.policy, !policy.allows(connection.peer) {
      connection.channel.close(promise: nil)
      throw .refused(connection.peer, by: policy)
    }
    return connection
  }

  private func dial(
    _ address: TransportAddress, _ options: ConnectOptions,
    _ configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    let defect = defect
    let attempt = { () async throws(AttemptFailure) -> Connection in
      try await UnixConnector().attempt(address, options: options) { channel in
        switch defect {
        case .losesAByte: try channel.pipeline.syncOperations.addHandler(LosingHandler())
        case .closesBothWays: try channel.pipeline.syncOperations.addHandler(ClosingHandler())
        case .hidesTheEndOfInput: try channel.pipeline.syncOperations.addHandler(HidingHandler())
        case .setsHandlersUpLate: return
        case .swallowsConfigureErrors:
          // That it is lost is the point.
          try? configure(channel)
          return
        default: break
        }
        try configure(channel)
      }
    }
    guard defect == .ignoresCancellation else { return try await attempt() }
    // A task of its own is not cancelled with this one.
    let task = Task { await Result(catching: attempt) }
    return try await task.value.get()
  }

  /// When the bytes of a server that speaks first have come and gone.
  private static func configureLate(
    _ channel: any Channel, _ configure: @escaping @Sendable (any Channel) throws -> Void
  ) async {
    // A connection that is gone is one that the check misses bytes of, too.
    try? await Task.sleep(for: .milliseconds(100))
    try? await channel.eventLoop.submit { try configure(channel) }.get()
  }
}

extension Result where Failure == AttemptFailure {
  init(catching body: () async throws(AttemptFailure) -> Success) async {
    do throws(AttemptFailure) {
      self = .success(try await body())
    } catch {
      self = .failure(error)
    }
  }
}

extension Connection {
  fileprivate var withoutTimings: Connection {
    Connection(channel: channel, address: address, peer: peer, timings: [])
  }
}

/// Listens at unix sockets, with one thing wrong.
struct DefectiveFactory: ListenerFactory {
  let transport = "unix"
  let defect: Defect?

  func listen(
    at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener {
    DefectiveListener(
      inner: try await UnixListenerFactory().listen(at: address, options: options), defect: defect)
  }
}

private struct DefectiveListener: Listener {
  let inner: any Listener
  let defect: Defect?

  var boundAddress: TransportAddress { inner.boundAddress }

  var statistics: ListenerStatistics {
    defect == .countsNothing ? ListenerStatistics() : inner.statistics
  }

  func run(
    policy: PeerPolicy?, configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError) {
    let defect = defect
    let policy = defect == .letsEverybodyIn ? .anyone : policy
    try await inner.run(policy: policy) { channel in
      if defect == .readsAhead {
        try channel.pipeline.syncOperations.addHandler(EagerHandler())
      }
      try configure(channel)
    } onConnection: { connection in
      await onConnection(connection)
    }
  }

  func close() {
    if defect != .keepsListening { inner.close() }
  }
}

// MARK: Handlers

/// Loses the byte at 100,000.
private final class LosingHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private var passed = 0

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    let loses = passed <= 100_000 && passed + bytes.readableBytes > 100_000
    passed += bytes.readableBytes
    if loses { bytes.moveReaderIndex(forwardBy: 1) }
    context.fireChannelRead(wrapInboundOut(bytes))
  }
}

/// Closes all of the connection where only the output was to be closed.
private final class ClosingHandler: ChannelOutboundHandler {
  typealias OutboundIn = ByteBuffer

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    context.close(mode: .all, promise: promise)
  }
}

/// Tells nobody that the peer has ended its output.
private final class HidingHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed = event { return }
    context.fireUserInboundEventTriggered(event)
  }
}

/// Reads whether anybody wants to or not.
private final class EagerHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer

  func channelReadComplete(context: ChannelHandlerContext) {
    context.fireChannelReadComplete()
    context.read()
  }
}
