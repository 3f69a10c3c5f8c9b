internal import CLinux
public import Logging
public import NIOCore
public import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Listens on a unix socket: a file or an abstract name.
///
/// A file is made with its final mode from the first moment on, in a directory that is made for it
/// if need be (mode 0700). A socket that is there already and that nobody listens on was left behind
/// by a server that has ended: it is taken over, under a lock on the directory (flock(2)), so that of
/// several that start at once one gets it and the others find it taken. Whatever is no socket is left
/// alone. On the way out the file is removed, if it still is this listener's own.
public struct UnixListener: Listener {
  public struct Options: Sendable {
    /// The mode of the socket's file. Who may write to it may connect, if the policy agrees.
    public var mode: UInt32
    /// Takes the path over also from a server that listens there, in one step: at every moment a
    /// dialer finds the old one or the new one. Without it that is an error.
    public var replacing: Bool
    /// Leaves the file behind on the way out, so that later dialers are refused
    /// (ECONNREFUSED) instead of finding nothing (ENOENT).
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

  private let inner: SocketListener

  /// Binds and listens.
  ///
  /// It makes a few system calls on the calling thread. None of them waits for a peer; one may wait
  /// up to a second for another process that binds, replaces or removes a socket in the directory.
  ///
  /// - Throws: ``TransportError`` with `listenFailed`: the address is no unix socket's, its directory
  ///   cannot be made or written, or somebody listens there already (EADDRINUSE).
  public init(
    bindingTo address: TransportAddress, options: Options = Options()
  ) throws(TransportError) {
    let (socket, file) = try UnixBinding(address: address, options: options).listen()
    self.init(socket, file: options.leavesFile ? nil : file, address: address, options: options)
  }

  /// Takes over a socket that another process bound and listens on, such as one that was inherited.
  ///
  /// The descriptor is the listener's from here on, also when this throws. The file stays where it
  /// is on the way out: who made it removes it.
  ///
  /// - Throws: ``TransportError`` with `listenFailed` when it is no listening unix stream socket.
  public init(
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

  /// Binds and listens as ``init(bindingTo:options:)``, for a process that is to inherit the socket:
  /// the descriptor (close-on-exec) is the caller's, who also removes the file.
  package static func bind(
    to address: TransportAddress, options: Options = Options()
  ) throws(TransportError) -> CInt {
    try UnixBinding(address: address, options: options).listen().0.descriptor
  }

  private init(
    _ socket: UnixSocket, file: UnixSocketFile?, address: TransportAddress, options: Options
  ) {
    self.inner = SocketListener(
      descriptor: socket.descriptor, address: address,
      options: ListenOptions(
        backlog: options.backlog, group: options.group, logger: options.logger),
      defaultPolicy: .sameUser, identify: Self.identify, cleanUp: { file?.remove() })
  }

  public var boundAddress: TransportAddress { inner.boundAddress }

  public var statistics: ListenerStatistics { inner.statistics }

  public func run(
    policy: PeerPolicy?, configure: @escaping @Sendable (any Channel) throws -> Void,
    onConnection: @escaping @Sendable (Connection) async -> Void
  ) async throws(TransportError) {
    try await inner.run(policy: policy, configure: configure, onConnection: onConnection)
  }

  public func close() { inner.close() }

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
