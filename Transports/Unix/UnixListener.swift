internal import CLinux
public import Logging
public import NIOCore
internal import Synchronization
public import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Listens on a unix socket: a file or an abstract name.
///
/// A file is made with its final mode from the first moment on, in a directory that is made for it
/// if need be (mode 0700). On the way out it is removed, if it still is this listener's own.
public final class UnixListener: Listener {
  public struct Options: Sendable {
    /// The mode of the socket's file. Who may write to it may connect, if the policy agrees.
    public var mode: UInt32
    /// Takes the path over from a socket that is there, in one step: at every moment a dialer finds
    /// the old one or the new one. Without it a socket that is there is an error.
    public var replacing: Bool
    /// Leaves the file behind on the way out, so that later dialers are refused
    /// (ECONNREFUSED) instead of finding nothing (ENOENT). The next listener then needs `replacing`.
    public var leavesFile: Bool
    /// How many peers may wait to be accepted; the kernel's `somaxconn` is the most.
    public var backlog: Int32
    /// Where the listener's and its connections' event loops come from. `nil`: the process's shared
    /// group.
    public var group: (any EventLoopGroup)?
    public var logger: Logger?

    public init(
      mode: UInt32 = 0o600, replacing: Bool = false, leavesFile: Bool = false,
      backlog: Int32 = 1024, group: (any EventLoopGroup)? = nil, logger: Logger? = nil
    ) {
      self.mode = mode
      self.replacing = replacing
      self.leavesFile = leavesFile
      self.backlog = backlog
      self.group = group
      self.logger = logger
    }
  }

  public let boundAddress: TransportAddress
  private let options: Options
  private let file: UnixSocketFile?
  private let loop: AcceptLoop
  private let state: Mutex<State>

  private enum State {
    /// The descriptor is the listener's.
    case bound(UnixSocket)
    /// The descriptor is the accept loop's.
    case running
    case closed
  }

  /// Binds and listens.
  ///
  /// It makes a few system calls on the calling thread; none of them waits for a peer.
  ///
  /// - Throws: ``TransportError`` with `listenFailed`: the address is no unix socket's, its directory
  ///   cannot be made or written, or something is there already.
  public convenience init(
    bindingTo address: TransportAddress, options: Options = Options()
  ) throws(TransportError) {
    let (socket, file) = try UnixBinding(address: address, options: options).listen()
    self.init(socket, file: file, address: address, options: options)
  }

  /// Takes over a socket that another process bound and listens on, such as one that was inherited.
  ///
  /// The descriptor is the listener's from here on, also when this throws. The file stays where it
  /// is on the way out: who made it removes it.
  ///
  /// - Throws: ``TransportError`` with `listenFailed` when it is no listening unix stream socket.
  public convenience init(
    adopting descriptor: CInt, options: Options = Options()
  ) throws(TransportError) {
    let socket = UnixSocket(adopting: descriptor)
    do throws(TransportError) {
      let address = try UnixBinding.address(of: descriptor)
      self.init(socket, file: nil, address: address, options: options)
    } catch {
      socket.close()
      throw error
    }
  }

  private init(
    _ socket: UnixSocket, file: UnixSocketFile?, address: TransportAddress, options: Options
  ) {
    self.boundAddress = address
    self.options = options
    self.file = file
    let logger = options.logger ?? Logger(label: "hawsepipe.unix.listener")
    self.loop = AcceptLoop(address: address, logger: logger, identify: Self.identify)
    self.state = Mutex(.bound(socket))
  }

  deinit { close() }

  public var statistics: ListenerStatistics { loop.statistics }

  public func run(
    policy: PeerPolicy?, configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError) {
    let socket = state.withLock { state -> UnixSocket? in
      guard case .bound(let socket) = state else { return nil }
      state = .running
      return socket
    }
    guard let socket else {
      throw TransportError(
        code: .listenFailed, message: "the listener at \(boundAddress) ran or was closed before")
    }
    defer { close() }
    try await loop.run(
      descriptor: socket.descriptor, backlog: options.backlog, group: options.group,
      policy: policy ?? .sameUser, configure: configure, onConnection: onConnection)
  }

  public func close() {
    let before = state.withLock { state in
      defer { state = .closed }
      return state
    }
    switch before {
    case .closed: return
    case .bound(let socket): socket.close()
    case .running: loop.stopAccepting()
    }
    if !options.leavesFile { file?.remove() }
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
