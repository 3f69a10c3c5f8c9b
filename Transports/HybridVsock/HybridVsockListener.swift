internal import NIOCore
public import TransportCore
internal import UnixTransport

/// Listens for what a guest dials: at `hvsock:///run/vm.sock:5000` for connections of the guest to
/// port 5000 of its host (CID 2), which the VMM hands on to the unix socket `/run/vm.sock_5000`.
/// Nothing is said before the guest's first byte.
///
/// Listen before the guest dials: without a listener Firecracker, Cloud Hypervisor and Dragonball
/// reset the guest's connection, and vhost-device-vsock leaves it without an answer.
public struct HybridVsockListenerFactory: ListenerFactory {
  public let transport = "hvsock"
  /// `vmm`, as in ``HybridVsockConnector/parameters``.
  public let parameters: Set<String> = ["vmm"]
  private let mode: UInt32
  private let monitor: HybridVsockMonitor?

  /// - Parameters:
  ///   - mode: of the socket's file. A VMM that runs as another user must be let in here and by the
  ///     policy.
  ///   - monitor: as ``HybridVsockConnector/init(monitor:)``.
  public init(mode: UInt32 = 0o600, monitor: HybridVsockMonitor? = nil) {
    self.mode = mode
    self.monitor = monitor
  }

  public func listen(
    at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener {
    guard case .hybridVsock(let path, let port) = address.place else {
      throw TransportError(
        code: .listenFailed,
        message: "cannot listen at \(address): it is not a hybrid vsock address")
    }
    let monitor: HybridVsockMonitor?
    do throws(AttemptFailure) {
      monitor = try HybridVsockMonitor(of: address) ?? self.monitor
    } catch {
      throw TransportError(
        code: .listenFailed, message: "cannot listen at \(address): \(error.message)",
        hint: error.hint)
    }
    let inner = try await UnixListenerFactory(mode: mode).listen(
      at: TransportAddress(place: .unix(path: "\(path)_\(port)")), options: options)
    return HybridVsockListener(
      inner, address: address, carriesHalfClose: monitor?.carriesHalfClose ?? false)
  }
}

/// A unix listener whose peers are VMMs.
struct HybridVsockListener: Listener {
  let boundAddress: TransportAddress
  private let inner: any Listener
  private let carriesHalfClose: Bool

  init(_ inner: any Listener, address: TransportAddress, carriesHalfClose: Bool) {
    self.inner = inner
    self.boundAddress = address
    self.carriesHalfClose = carriesHalfClose
  }

  var statistics: ListenerStatistics { inner.statistics }

  func run(
    policy: PeerPolicy?, configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError) {
    try await inner.run(policy: (policy ?? .sameUser).ofMonitor, configure: configure) {
      await onConnection(ofGuest($0))
    }
  }

  func close() { inner.close() }

  private func ofGuest(_ connection: Connection) -> Connection {
    Connection(
      channel: connection.channel, address: boundAddress,
      peer: PeerIdentity(monitor: connection.peer.unix.map { .init(process: $0) }),
      timings: connection.timings, carriesHalfClose: carriesHalfClose)
  }
}
