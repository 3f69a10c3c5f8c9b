internal import CLinux
internal import LinuxSystem
public import NIOCore
public import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Dials AF_VSOCK: the host from a guest (CID 2), a guest from its host, this machine (CID 1), and
/// sibling VMs through a host that passes connections on.
///
/// The peer is the CID and port that the kernel names; by default it must be the CID that was
/// dialled. That is what the kernel's own routing comes to, and no more: a CID may go to another VM
/// when its VM is gone, so whoever must know which VM it is asks it for something that only that one
/// has. The policy is asked before a byte is written or read.
///
/// NIO's channels know no vsock addresses: `remoteAddress` is `nil`, and ``Connection/peer`` says it.
public struct VsockConnector: Connector {
  public let transport = "vsock"
  /// `sibling=yes` does for one address what ``reachesSiblings`` does for all.
  public let parameters: Set<String> = ["sibling"]

  /// Hands connections to CIDs above 2 to the host (VMADDR_FLAG_TO_HOST), which a VM needs that has
  /// guests of its own: without it, Linux looks for the CID among those.
  public var reachesSiblings: Bool

  public init(reachesSiblings: Bool = false) {
    self.reachesSiblings = reachesSiblings
  }

  public func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    let clock = ContinuousClock()
    let began = clock.now
    let target = try VsockTarget(address, reachesSiblings: reachesSiblings)
    let socket = try await target.connect(within: options.tryLimit)
    return try await socket.connection(
      to: address, options, policy: .cids([target.cid]),
      timings: [PhaseTiming(.connect, clock.now - began)], configure: configure,
      identify: PeerIdentity.init(vsockPeerOf:))
  }
}

extension PeerIdentity {
  /// - Throws: ``AttemptFailure`` of the connect phase when the peer has gone already.
  init(vsockPeerOf descriptor: CInt) throws(AttemptFailure) {
    var endpoint = clinux_vsock_endpoint()
    let result = clinux_vsock_peer(descriptor, &endpoint)
    guard result == 0 else {
      throw AttemptFailure(
        phase: .connect, errno: -result,
        message: "the peer closed the connection at once: \(errnoText(-result))",
        outlook: .notReady)
    }
    self.init(vsock: VsockEndpoint(cid: endpoint.cid, port: endpoint.port))
  }
}
