import NIOCore
import NIOEmbedded
import Synchronization
import TransportCore

/// Hands out a channel for each peer that a test lets in.
final class ScriptedListener: Listener {
  let boundAddress: TransportAddress
  let statistics = ListenerStatistics()
  private let peers: AsyncStream<PeerIdentity>
  private let arrivals: AsyncStream<PeerIdentity>.Continuation
  private let closed = Mutex(false)
  private let made = Mutex<[NIOAsyncTestingChannel]>([])

  init(_ address: TransportAddress) {
    boundAddress = address
    (peers, arrivals) = AsyncStream.makeStream()
  }

  var isClosed: Bool { closed.withLock { $0 } }
  var channels: [NIOAsyncTestingChannel] { made.withLock { $0 } }

  func arrive(_ peer: PeerIdentity) { arrivals.yield(peer) }

  func run(
    policy: PeerPolicy?, configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError) {
    do {
      for await peer in peers {
        let channel = NIOAsyncTestingChannel()
        try await channel.testingEventLoop.executeInContext { try configure(channel) }
        try await channel.connect(to: SocketAddress(unixDomainSocketPath: "/x")).get()
        made.withLock { $0.append(channel) }
        await onConnection(
          Connection(
            channel: channel, address: boundAddress, peer: peer,
            timings: [PhaseTiming(.identity, .milliseconds(1))]))
      }
    } catch {
      throw TransportError(code: .listenFailed, message: "\(error)")
    }
  }

  func close() {
    closed.withLock { $0 = true }
    arrivals.finish()
  }
}

/// Makes scripted listeners, and remembers them.
final class ScriptedListenerFactory: ListenerFactory {
  let transport: String
  let parameters: Set<String>
  private let made = Mutex<[(listener: ScriptedListener, options: ListenOptions)]>([])

  init(_ transport: String, parameters: Set<String> = []) {
    self.transport = transport
    self.parameters = parameters
  }

  var listeners: [ScriptedListener] { made.withLock { $0.map(\.listener) } }
  var options: [ListenOptions] { made.withLock { $0.map(\.options) } }

  func listen(
    at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener {
    let listener = ScriptedListener(address)
    made.withLock { $0.append((listener, options)) }
    return listener
  }
}

/// A layer that adds nothing but its name.
struct ScriptedLayer: TransportLayer {
  var name: String
  var parameters: Set<String> = []
  var isSecure = false
  var checkFailure: TransportError?
  var listenFailure: TransportError?
  /// The addresses that it was asked for.
  var log = Log()

  final class Log: Sendable {
    private let entries = Mutex<[String]>([])
    var all: [String] { entries.withLock { $0 } }
    func note(_ entry: String) { entries.withLock { $0.append(entry) } }
  }

  func connector(over inner: any Connector) -> any Connector { Wrapped(layer: self, inner: inner) }

  func checkListening(at address: TransportAddress) async throws(TransportError) {
    log.note("check \(name) \(address)")
    if let checkFailure { throw checkFailure }
  }

  func listener(
    over inner: any Listener, at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener {
    log.note("listen \(name) \(address)")
    if let listenFailure { throw listenFailure }
    return inner
  }

  private struct Wrapped: Connector {
    let layer: ScriptedLayer
    let inner: any Connector
    var transport: String { inner.transport }

    func attempt(
      _ address: TransportAddress, options: ConnectOptions,
      configure: @escaping @Sendable (any Channel) throws -> Void
    ) async throws(AttemptFailure) -> Connection {
      layer.log.note("dial \(layer.name) \(address)")
      return try await inner.attempt(
        address.inner, options: options.beneathLayer, configure: configure)
    }
  }
}
