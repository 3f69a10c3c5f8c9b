internal import NIOCore
public import TransportCore

/// Listens at `fd://3`: adopts a listening stream socket that this process inherited, such as one
/// of systemd's (``inheritedDescriptors()``).
///
/// The descriptor belongs to the listener from then on and is adopted once; what cannot be adopted is
/// left as it is. Nothing is removed from the file system on the way out: who made the socket does.
///
/// Who may connect is what its family's own listener would allow: on unix sockets the same user, on
/// vsock the VM's host, on TCP anyone. One that TCP peers beyond this machine can reach needs
/// ``Plaintext/anywhere``.
public struct FileDescriptorListenerFactory: ListenerFactory {
  public let transport = "fd"
  private let ledger: DescriptorLedger

  public init(ledger: DescriptorLedger = .shared) { self.ledger = ledger }

  /// - Returns: a listener whose address is where the socket is bound.
  public func listen(
    at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener {
    guard case .descriptor(let number) = address.place else {
      throw TransportError(
        code: .listenFailed,
        message: "cannot listen at \(address): it is not a descriptor's address")
    }
    let socket: InheritedSocket
    let place: TransportAddress.Place
    do throws(DescriptorFault) {
      socket = try ledger.adopt(number, as: .listener)
      place = try socket.boundPlace()
    } catch {
      throw TransportError(
        code: .listenFailed, message: "cannot listen at \(address): \(error.message(number))",
        hint: error.hint)
    }
    var bound = address
    bound.place = place
    guard options.plaintext == .anywhere || !socket.isReachableFromOutside else {
      // Left as it is: with other options it can be adopted.
      ledger.receive(number)
      throw TransportError(
        code: .listenFailed,
        message: "cannot listen at \(address): it is bound to \(bound), where others than this "
          + "machine's can connect and read what is sent",
        hint: "put tls around it, bind it to 127.0.0.1 or ::1, or allow plaintext anywhere")
    }
    return SocketListener(
      descriptor: socket.descriptor, address: bound, options: options,
      defaultPolicy: socket.family.defaultPolicy
    ) { [family = socket.family] channel in
      channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: CInt.self) {
          try peerIdentity(of: $0, family)
        } ?? PeerIdentity()
      }
    }
  }
}

extension InheritedSocket {
  fileprivate var isReachableFromOutside: Bool {
    guard family == .tcp else { return false }
    // One whose address cannot be told is taken for the worst.
    return (try? SocketName(local: descriptor).network().isLoopback) != true
  }
}

extension InheritedSocket.Family {
  fileprivate var defaultPolicy: PeerPolicy {
    switch self {
    case .unix: .sameUser
    case .vsock: .hostOnly
    case .tcp: .anyone
    }
  }
}
