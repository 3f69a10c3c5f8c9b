public import NIOCore
public import TransportCore

/// Dials `fd://3`: adopts a connected stream socket that this process inherited or was handed.
///
/// The descriptor belongs to the connection from then on and is adopted once; what cannot be adopted
/// is left as it is. Unix, vsock and TCP sockets can be, whether bound by name or made as a pair. It
/// becomes close-on-exec, and non-blocking for every process that shares it.
///
/// By default anyone may be at the other end: whoever handed the descriptor over decided. Its
/// identity is what the socket's family tells; a pair's other end is whoever made the pair.
public struct FileDescriptorConnector: Connector {
  public let transport = "fd"
  private let ledger: DescriptorLedger

  public init(ledger: DescriptorLedger = .shared) { self.ledger = ledger }

  public func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    let clock = ContinuousClock()
    let began = clock.now
    guard !Task.isCancelled else { throw AttemptFailure.cancelled(during: .connect) }
    let (socket, family) = try adopt(address)
    return try await socket.connection(
      to: address, options, policy: .anyone, timings: [PhaseTiming(.connect, clock.now - began)],
      configure: configure
    ) { descriptor throws(AttemptFailure) in try identify(descriptor, family) }
  }

  private func adopt(
    _ address: TransportAddress
  ) throws(AttemptFailure) -> (ClientSocket, InheritedSocket.Family) {
    guard case .descriptor(let number) = address.place else {
      throw AttemptFailure(
        phase: .connect, message: "\(address) is not a descriptor's address", outlook: .fatal)
    }
    do throws(DescriptorFault) {
      let socket = try ledger.adopt(number, as: .connection)
      return (ClientSocket(owning: socket.descriptor), socket.family)
    } catch {
      throw AttemptFailure(
        phase: .connect, errno: error.errno, message: error.message(number), outlook: .fatal,
        hint: error.hint)
    }
  }

  private func identify(
    _ descriptor: CInt, _ family: InheritedSocket.Family
  ) throws(AttemptFailure) -> PeerIdentity {
    do throws(DescriptorFault) {
      return try peerIdentity(of: descriptor, family)
    } catch {
      throw AttemptFailure(
        phase: .identity, errno: error.errno, message: error.message(descriptor), outlook: .fatal)
    }
  }
}
