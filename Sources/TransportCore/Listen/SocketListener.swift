internal import Logging
public import NIOCore
internal import Synchronization

#if canImport(Glibc)
  internal import Glibc
#endif

/// A listener on a socket that is bound already: what the listeners of unix sockets, vsock and TCP
/// have in common. A transport binds, says how a peer is identified, and what to clean up.
public final class SocketListener: Listener {
  public let boundAddress: TransportAddress
  private let options: ListenOptions
  private let defaultPolicy: PeerPolicy
  private let loop: AcceptLoop
  private let cleanUp: @Sendable () -> Void
  private let state: Mutex<State>

  private enum State {
    /// The descriptor is the listener's.
    case bound(CInt)
    /// The descriptor is the accept loop's.
    case running
    case closed
  }

  /// - Parameters:
  ///   - descriptor: a bound stream socket, this listener's from here on.
  ///   - defaultPolicy: who may connect when ``run(policy:configure:onConnection:)`` is not told.
  ///   - identify: finds out who connected, on the channel's event loop, before a byte is read.
  ///   - cleanUp: called once, when listening has ended.
  public init(
    descriptor: CInt, address: TransportAddress, options: ListenOptions, defaultPolicy: PeerPolicy,
    identify: @escaping AcceptLoop.Identify, cleanUp: @escaping @Sendable () -> Void = {}
  ) {
    self.boundAddress = address
    self.options = options
    self.defaultPolicy = defaultPolicy
    self.cleanUp = cleanUp
    let logger = options.logger ?? Logger(label: "hawsepipe.\(address.transport).listener")
    self.loop = AcceptLoop(
      address: address, logger: logger, observer: options.observer, identify: identify)
    self.state = Mutex(.bound(descriptor))
  }

  deinit { close() }

  public var statistics: ListenerStatistics { loop.statistics }

  public func run(
    policy: PeerPolicy?, configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError) {
    let descriptor = state.withLock { state -> CInt? in
      guard case .bound(let descriptor) = state else { return nil }
      state = .running
      return descriptor
    }
    guard let descriptor else {
      throw TransportError(
        code: .listenFailed, message: "the listener at \(boundAddress) ran or was closed before")
    }
    defer { close() }
    try await loop.run(
      descriptor: descriptor, backlog: options.backlog, group: options.group,
      policy: policy ?? defaultPolicy, configure: configure, onConnection: onConnection)
  }

  public func close() {
    let before = state.withLock { state in
      defer { state = .closed }
      return state
    }
    switch before {
    case .closed: return
    case .bound(let descriptor):
      // On Linux the descriptor is gone whatever close(2) returns.
      _ = Glibc.close(descriptor)
    case .running: loop.stopAccepting()
    }
    cleanUp()
  }
}
