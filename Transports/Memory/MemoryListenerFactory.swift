internal import CLinux
internal import LinuxSystem
internal import NIOCore
public import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Listens at `memory://name`, for dialers in this very process.
public struct MemoryListenerFactory: ListenerFactory {
  public let transport = "memory"
  public let parameters = MemoryFaults.parameters
  private let network: MemoryNetwork
  private let faults: MemoryFaults

  /// - Parameter faults: of every connection that is taken, as seen from the listener's end. A fault
  ///   among the address's parameters goes before.
  public init(network: MemoryNetwork = .shared, faults: MemoryFaults = MemoryFaults()) {
    self.network = network
    self.faults = faults
  }

  /// Binds and listens. The name must be free in the network; a listener gives it back on the way
  /// out.
  public func listen(
    at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener {
    guard case .memory(let name) = address.place else {
      throw TransportError(
        code: .listenFailed, message: "cannot listen at \(address): it is not a memory address")
    }
    let faults = try faults.overridden(by: address)
    let target = "hawsepipe-memory-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
    let socket = try listen(target, backlog: options.backlog, address)
    guard network.claim(name, for: target) else {
      socket.close()
      throw TransportError(
        code: .listenFailed, message: "cannot listen at \(address): the name is taken",
        hint: "another listener of this process and this network has it")
    }
    let network = network
    let listener = SocketListener(
      descriptor: socket.descriptor, address: address, options: options,
      defaultPolicy: .thisProcess, identify: Self.identify
    ) { network.release(name) }
    return MemoryListener(listener: listener, faults: faults)
  }

  private func listen(
    _ name: String, backlog: Int32, _ address: TransportAddress
  ) throws(TransportError) -> ClientSocket {
    do throws(SystemError) {
      let socket = try ClientSocket.unix()
      var name = name
      var result = name.withUTF8 {
        clinux_unix_bind(socket.descriptor, $0.baseAddress, $0.count, true)
      }
      if result == 0 { result = clinux_listen(socket.descriptor, backlog) }
      guard result == 0 else {
        socket.close()
        throw SystemError("bind", errno: -result)
      }
      return socket
    } catch {
      throw TransportError(
        code: .listenFailed, message: "cannot listen at \(address): \(error)", cause: error)
    }
  }

  private static func identify(_ channel: any Channel) -> EventLoopFuture<PeerIdentity> {
    guard let socket = channel as? any SocketOptionProvider else {
      return channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
    }
    return socket.unsafeGetSocketOption(
      level: NIOBSDSocket.OptionLevel(rawValue: SOL_SOCKET),
      name: NIOBSDSocket.Option(rawValue: SO_PEERCRED)
    ).map { (credentials: clinux_peer_credentials) in PeerIdentity(credentials) }
  }
}

/// A listener whose connections have faults.
struct MemoryListener: Listener {
  let listener: SocketListener
  let faults: MemoryFaults

  var boundAddress: TransportAddress { listener.boundAddress }
  var statistics: ListenerStatistics { listener.statistics }

  func run(
    policy: PeerPolicy?, configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError) {
    let faults = faults
    try await listener.run(policy: policy) { channel in
      try faults.install(on: channel)
      try configure(channel)
    } onConnection: { connection in
      await onConnection(connection)
    }
  }

  func close() { listener.close() }
}
