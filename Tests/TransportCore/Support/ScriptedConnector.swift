import NIOCore
import NIOEmbedded
import Synchronization
import TransportCore

/// Fails as its script says, then connects to nobody: a test has the channel's other side.
final class ScriptedConnector: Connector {
  let transport: String
  let parameters: Set<String>
  private let peer: PeerIdentity
  private let script: @Sendable (Int) async throws(AttemptFailure) -> Void
  private let seen = Mutex<[Attempt]>([])

  /// What a try was asked for, and the channel that it made.
  struct Attempt: Sendable {
    var address: TransportAddress
    var options: ConnectOptions
    var channel: NIOAsyncTestingChannel?
  }

  init(
    _ transport: String = "memory", parameters: Set<String> = [],
    peer: PeerIdentity = PeerIdentity(),
    script: @escaping @Sendable (Int) async throws(AttemptFailure) -> Void = {
      (_) throws(AttemptFailure) in
    }
  ) {
    self.transport = transport
    self.parameters = parameters
    self.peer = peer
    self.script = script
  }

  var tries: Int { seen.withLock { $0.count } }
  var attempts: [Attempt] { seen.withLock { $0 } }
  var channel: NIOAsyncTestingChannel? { seen.withLock { $0.last?.channel } }

  func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    let index = seen.withLock { seen in
      seen.append(Attempt(address: address, options: options))
      return seen.count
    }
    try await script(index)
    let channel = NIOAsyncTestingChannel()
    do {
      try await channel.testingEventLoop.executeInContext { try configure(channel) }
      try await channel.connect(to: SocketAddress(unixDomainSocketPath: "/x")).get()
    } catch {
      throw AttemptFailure(phase: .connect, message: "\(error)", outlook: .fatal)
    }
    seen.withLock { $0[index - 1].channel = channel }
    return Connection(
      channel: channel, address: address, peer: peer,
      timings: [PhaseTiming(.connect, .milliseconds(2)), PhaseTiming(.identity, .zero)])
  }
}

extension AttemptFailure {
  static let refused = AttemptFailure(
    phase: .connect, errno: 111, message: "nobody listens", outlook: .notReady,
    hint: "start the server")
}
