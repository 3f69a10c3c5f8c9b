public import NIOCore
internal import Synchronization
public import TransportCore
internal import UnixTransport

/// Listens at `named:///run/vm.sock:agent`, for the one name of the address.
public struct NamedListenerFactory: ListenerFactory {
  public let transport = "named"

  public init() {}

  public func listen(
    at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener {
    guard let place = NamedPlace(address) else {
      throw TransportError(
        code: .listenFailed,
        message: "cannot listen at \(address): it is not an address of this transport",
        hint: NamedPlace.syntax)
    }
    // What is hard about listening (the file, who may connect, a lack of descriptors) is done there.
    let inner = try await UnixListenerFactory().listen(at: place.socket, options: options)
    return NamedListener(
      inner: inner, address: address, name: place.name, timeLimit: options.handshakeLimit)
  }
}

/// A unix listener whose connections begin with a name.
private final class NamedListener: Listener {
  let boundAddress: TransportAddress
  private let inner: any Listener
  private let name: String
  private let timeLimit: Duration
  private let counts = Mutex(ListenerStatistics())
  /// The handshakes of connections that nobody serves yet.
  private let handshakes = Mutex<[ObjectIdentifier: EventLoopFuture<Void>]>([:])

  init(inner: any Listener, address: TransportAddress, name: String, timeLimit: Duration) {
    self.inner = inner
    self.boundAddress = address
    self.name = name
    self.timeLimit = timeLimit
  }

  var statistics: ListenerStatistics {
    // Accepted is who came through the handshake, too.
    var sum = inner.statistics
    let own = counts.withLock { $0 }
    sum.accepted = own.accepted
    sum.failed += own.failed
    return sum
  }

  func close() { inner.close() }

  func run(
    policy: PeerPolicy?, configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError) {
    // Every connection has a child task of its own there, so a peer that dawdles delays nobody.
    try await inner.run(policy: policy) { channel in
      try self.setUp(channel, configure)
    } onConnection: { connection in
      await self.serve(connection, onConnection)
    }
    handshakes.withLock { $0 = [:] }
  }

  /// On the channel's event loop, before a byte can have been read.
  private func setUp(
    _ channel: any Channel, _ configure: @Sendable (any Channel) throws -> Void
  ) throws {
    let name = name
    let gate = ConnectionGate()
    let result = channel.eventLoop.makePromise(of: Void.self)
    try channel.pipeline.syncOperations.addHandlers([
      LineHandshakeHandler(opening: "", timeLimit: timeLimit, gate: gate, result: result) { line in
        guard line == name else {
          let failure = AttemptFailure(
            phase: .handshake, message: "nobody serves what was asked for", outlook: .fatal)
          return .fail(failure, reply: "no\n")
        }
        return .begin(reply: "yes\n")
      },
      gate,
    ])
    try configure(channel)
    handshakes.withLock { $0[ObjectIdentifier(channel)] = result.futureResult }
  }

  private func serve(
    _ connection: Connection, _ onConnection: @Sendable (Connection) async -> Void
  ) async {
    let handshake = handshakes.withLock {
      $0.removeValue(forKey: ObjectIdentifier(connection.channel))
    }
    do {
      // Cancellation closes the channel, which ends the handshake.
      try await handshake?.get()
    } catch {
      counts.withLock { $0.failed += 1 }
      return
    }
    counts.withLock { $0.accepted += 1 }
    await onConnection(
      Connection(
        channel: connection.channel, address: boundAddress, peer: connection.peer,
        timings: connection.timings))
  }
}
