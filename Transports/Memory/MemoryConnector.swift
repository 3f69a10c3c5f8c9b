internal import CLinux
internal import LinuxSystem
public import NIOCore
public import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Dials `memory://name`: a listener in this very process.
///
/// By default nothing but this process is talked to. The address's parameters, or ``faults``, make
/// the connection misbehave: ``MemoryFaults``.
public struct MemoryConnector: Connector {
  public let transport = "memory"
  public let parameters = MemoryFaults.parameters
  private let network: MemoryNetwork
  private let faults: MemoryFaults

  /// - Parameter faults: of every connection. A fault among the address's parameters goes before.
  public init(network: MemoryNetwork = .shared, faults: MemoryFaults = MemoryFaults()) {
    self.network = network
    self.faults = faults
  }

  public func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    let clock = ContinuousClock()
    let began = clock.now
    guard case .memory(let name) = address.place else {
      throw AttemptFailure(
        phase: .connect, errno: EAFNOSUPPORT, message: "\(address) is not a memory address",
        outlook: .fatal)
    }
    let faults = try faults(of: address)
    try await delay(faults)
    let socket = try await connect(to: name, options.tryLimit)
    return try await socket.connection(
      to: address, options, policy: .thisProcess,
      timings: [PhaseTiming(.connect, clock.now - began)],
      configure: { channel in
        try faults.install(on: channel)
        try configure(channel)
      }, identify: identify)
  }

  private func faults(of address: TransportAddress) throws(AttemptFailure) -> MemoryFaults {
    do throws(TransportError) {
      return try faults.overridden(by: address)
    } catch {
      throw AttemptFailure(
        phase: .connect, errno: EINVAL, message: error.message, outlook: .fatal, hint: error.hint,
        cause: error)
    }
  }

  /// The way there and back that a connect takes, or the answer that never comes.
  private func delay(_ faults: MemoryFaults) async throws(AttemptFailure) {
    do {
      while faults.neverAnswers { try await Task.sleep(for: .seconds(3600)) }
      if faults.latency > .zero { try await Task.sleep(for: faults.latency * 2) }
    } catch {
      throw .cancelled(during: .connect)
    }
  }

  private func connect(
    to name: String, _ limit: Duration
  ) async throws(AttemptFailure) -> ClientSocket {
    guard var target = network.socket(of: name) else { throw Self.failure(ECONNREFUSED, name) }
    let socket: ClientSocket
    do throws(SystemError) {
      socket = try ClientSocket.unix()
    } catch {
      throw Self.failure(error.errno, name)
    }
    let errno = await socket.connectThroughBacklog(within: limit) {
      target.withUTF8 {
        clinux_unix_connect(socket.descriptor, $0.baseAddress, $0.count, true)
      }
    }
    guard errno == 0 else {
      socket.close()
      throw Self.failure(errno, name)
    }
    return socket
  }

  private static func failure(_ errno: Int32, _ name: String) -> AttemptFailure {
    switch errno {
    case ECONNREFUSED:
      AttemptFailure(
        phase: .connect, errno: errno,
        message: "nobody listens at \"\(name)\" in this process", outlook: .notReady,
        hint: "a memory address reaches listeners of the same process and the same network only")
    case EAGAIN:
      AttemptFailure(
        phase: .connect, errno: errno,
        message: "the backlog of \"\(name)\" is full: its listener does not accept",
        outlook: .notReady)
    case EMFILE, ENFILE, ENOBUFS, ENOMEM:
      AttemptFailure(
        phase: .connect, errno: errno, message: "no socket to be had: " + errnoText(errno),
        outlook: .transient)
    default:
      AttemptFailure(phase: .connect, errno: errno, message: errnoText(errno), outlook: .fatal)
    }
  }

  private func identify(_ descriptor: CInt) throws(AttemptFailure) -> PeerIdentity {
    var credentials = clinux_peer_credentials()
    let result = clinux_peer_credentials(descriptor, &credentials)
    guard result == 0 else {
      throw AttemptFailure(
        phase: .identity, errno: -result,
        message: "the kernel does not tell who the peer is: " + errnoText(-result), outlook: .fatal)
    }
    return PeerIdentity(credentials)
  }
}

extension ClientSocket {
  static func unix() throws(SystemError) -> ClientSocket {
    let result = clinux_unix_socket()
    guard result >= 0 else { throw SystemError("socket", errno: -result) }
    return ClientSocket(owning: result)
  }
}

extension PeerPolicy {
  /// The peer is this very process. The default of memory connections.
  public static let thisProcess = PeerPolicy(name: "this process") { $0.isThisProcess }
}

extension PeerIdentity {
  init(_ credentials: clinux_peer_credentials) {
    self.init(
      unix: UnixProcess(pid: credentials.pid, uid: credentials.uid, gid: credentials.gid),
      isThisProcess: credentials.pid == getpid())
  }
}
