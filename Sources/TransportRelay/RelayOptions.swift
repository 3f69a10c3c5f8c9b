public import Logging
public import TransportCore

/// How connections are bridged.
public struct RelayOptions: Sendable {
  /// How the far side is dialled. The event loop is always that of the connection to be bridged.
  public var connect: ConnectOptions
  /// Who may connect to the near side. `nil`: the listener's own default, which is closed.
  public var policy: PeerPolicy?
  /// How many connections are bridged at once. At the limit accepting stops: further peers wait in
  /// the listening socket's backlog, or, where a transport cannot stop, unread; nobody is refused.
  public var maxConnections: Int
  /// How long a bridge may be without a byte either way. `nil`: for ever, as is right for RPC.
  public var idleLimit: Duration?
  /// How long a bridge may last. `nil`: for ever.
  public var lifetimeLimit: Duration?
  /// How long the rest of a bridge may be without a byte when one side is gone, or has ended its
  /// output and the other's transport cannot be told that (``Connection/carriesHalfClose``).
  public var endLimit: Duration
  /// The most that is read at once. Each connection has two buffers of it while bytes flow.
  public var bufferSize: Int
  /// Reading stops while more than this many bytes wait to be written to the other side, and goes on
  /// when half of them are. What a bridge holds is at most this, one buffer, and what its kernel had
  /// received when the peer closed.
  public var highWaterMark: Int
  public var logger: Logger

  public init(
    connect: ConnectOptions = ConnectOptions(), policy: PeerPolicy? = nil,
    maxConnections: Int = 4096, idleLimit: Duration? = nil, lifetimeLimit: Duration? = nil,
    endLimit: Duration = .seconds(10), bufferSize: Int = 256 << 10, highWaterMark: Int = 256 << 10,
    logger: Logger = Logger(label: "hawsepipe.relay")
  ) {
    self.connect = connect
    self.policy = policy
    self.maxConnections = maxConnections
    self.idleLimit = idleLimit
    self.lifetimeLimit = lifetimeLimit
    self.endLimit = endLimit
    self.bufferSize = bufferSize
    self.highWaterMark = highWaterMark
    self.logger = logger
  }
}
