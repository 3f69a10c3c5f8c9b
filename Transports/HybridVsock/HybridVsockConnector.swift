public import NIOCore
internal import NIOPosix
public import TransportCore
internal import UnixTransport

#if canImport(Glibc)
  internal import Glibc
#endif

/// Dials a port in a guest through the unix socket of its VMM: `hvsock:///run/vm.sock:1024`.
///
/// The peer is the VMM, or its vsock device's daemon (``PeerIdentity/monitor``), never the guest; by
/// default it must be of this process's effective user. That is checked before a byte is written. Then
/// `CONNECT <port>\n` is written at once and alone, since some VMMs drop a line that comes in two
/// pieces, others what comes with it. What the guest says right behind the VMM's answer is not lost.
///
/// A guest that boots looks, in this order, like no socket (ENOENT), a socket that nobody serves
/// (ECONNREFUSED), connections that are taken and dropped (EPIPE, ECONNRESET), closed (end of file)
/// or left without an answer. All of these mean "not ready", which
/// ``ConnectOptions/Mode/waitUntilReady(_:)`` waits out. An answer that is not a VMM's, or a peer that
/// the policy refuses, is final.
public struct HybridVsockConnector: Connector {
  public let transport = "hvsock"
  /// `vmm`, one of ``HybridVsockMonitor``'s names: it goes before the connector's own.
  public let parameters: Set<String> = ["vmm"]
  private let monitor: HybridVsockMonitor?

  /// - Parameter monitor: what serves the socket, for connections that tell whether they carry
  ///   half-close (``Connection/carriesHalfClose``). `nil`, not known: then they do not.
  public init(monitor: HybridVsockMonitor? = nil) { self.monitor = monitor }

  public func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    guard case .hybridVsock(let path, let port) = address.place else {
      throw AttemptFailure(
        phase: .connect, errno: EAFNOSUPPORT,
        message: "\(address) is not a hybrid vsock address", outlook: .fatal)
    }
    let monitor = try HybridVsockMonitor(of: address) ?? monitor
    let failure = HybridVsockFailure(path: path, port: port)
    let group = options.group ?? MultiThreadedEventLoopGroup.singleton
    let loop = group.next()
    let result = loop.makePromise(of: UInt32.self)
    var inner = options
    inner.group = loop
    inner.policy = (options.policy ?? .sameUser).ofMonitor
    let connection: Connection
    do throws(AttemptFailure) {
      connection = try await UnixConnector().attempt(
        TransportAddress(place: .unix(path: path)), options: inner
      ) { channel in
        let gate = ConnectionGate()
        try channel.pipeline.syncOperations.addHandlers([
          HybridVsockHandshakeHandler(
            HybridVsockHandshake(port: port), gate: gate, failure: failure,
            waitsForAnswer: monitor?.survivesLostDials != true, result: result),
          gate,
        ])
        try configure(channel)
      }
    } catch {
      // Nobody else does when there never was a channel.
      result.fail(error)
      throw failure.connect(error)
    }
    let clock = ContinuousClock()
    let began = clock.now
    let assignedPort = try await answer(result.futureResult, connection.channel, port)
    guard let process = connection.peer.unix else {
      // Not reached: a unix connection always has it.
      connection.channel.close(promise: nil)
      throw AttemptFailure(
        phase: .identity, message: "nothing is known of the peer", outlook: .fatal)
    }
    return Connection(
      channel: connection.channel, address: address,
      peer: PeerIdentity(
        monitor: PeerIdentity.VirtualMachineMonitor(process: process, assignedPort: assignedPort)),
      timings: connection.timings + [PhaseTiming(.handshake, clock.now - began)],
      carriesHalfClose: monitor?.carriesHalfClose ?? false)
  }

  private func answer(
    _ result: EventLoopFuture<UInt32>, _ channel: any Channel, _ port: UInt32
  ) async throws(AttemptFailure) -> UInt32 {
    do {
      let port = try await withTaskCancellationHandler {
        try await result.get()
      } onCancel: {
        channel.close(promise: nil)
      }
      if !Task.isCancelled { return port }
    } catch {
      if !Task.isCancelled {
        throw error as? AttemptFailure
          ?? AttemptFailure(
            phase: .handshake, message: "\(error)", outlook: .fatal, cause: error)
      }
    }
    channel.close(promise: nil)
    throw HybridVsockFailure.cancelled(port: port)
  }
}

extension PeerPolicy {
  /// The same policy, asked of a VMM where the unix socket below knows a process.
  var ofMonitor: PeerPolicy {
    PeerPolicy(name: name) { peer in
      guard let process = peer.unix else { return false }
      return allows(PeerIdentity(monitor: .init(process: process)))
    }
  }
}

extension HybridVsockMonitor {
  /// The one that the address's parameter names, if it has one.
  init?(of address: TransportAddress) throws(AttemptFailure) {
    guard let name = address.parameter("vmm") else { return nil }
    guard let monitor = HybridVsockMonitor(rawValue: name) else {
      let names = HybridVsockMonitor.allCases.map(\.rawValue).joined(separator: ", ")
      throw AttemptFailure(
        phase: .connect, errno: EINVAL, message: "\"\(name)\" is no VMM that is known",
        outlook: .fatal, hint: "vmm is one of \(names); leave it out for any other")
    }
    self = monitor
  }
}
