public import Logging
public import NIOCore

/// How a connection is tried for.
public struct ConnectOptions: Sendable {
  public enum Mode: Sendable {
    /// One try; its failure is the answer.
    case failFast
    /// Tries again while the failure means "not yet" (nothing there, refused, mute), with backoff.
    case waitUntilReady(Backoff = Backoff())
  }

  /// Decorrelated jitter: each pause is random between `first` and three times the last one,
  /// never above `most`.
  public struct Backoff: Sendable {
    public var first: Duration
    public var most: Duration

    public init(first: Duration = .milliseconds(10), most: Duration = .seconds(1)) {
      self.first = first
      self.most = most
    }
  }

  /// How long all tries together may take.
  public var timeout: Duration
  /// How long one try may take.
  public var tryLimit: Duration
  public var mode: Mode
  /// Who may be at the other end. `nil`: the transport's own default, which is closed.
  public var policy: PeerPolicy?
  /// Where the connection's event loop comes from. `nil`: the process's shared group.
  public var group: (any EventLoopGroup)?
  /// Where a network may be crossed without TLS. A layer that secures the connection sets it to
  /// ``Plaintext/secured`` for the transport below it.
  public var plaintext: Plaintext
  /// Where tries, refusals and the connection's end are logged. `nil`: nowhere.
  public var logger: Logger?
  /// Is told of every event of this connect and its connection.
  public var observer: (any ConnectionObserver)?

  public init(
    timeout: Duration = .seconds(10), tryLimit: Duration = .seconds(5), mode: Mode = .failFast,
    policy: PeerPolicy? = nil, group: (any EventLoopGroup)? = nil,
    plaintext: Plaintext = .loopbackOnly, logger: Logger? = nil,
    observer: (any ConnectionObserver)? = nil
  ) {
    self.timeout = timeout
    self.tryLimit = tryLimit
    self.mode = mode
    self.policy = policy
    self.group = group
    self.plaintext = plaintext
    self.logger = logger
    self.observer = observer
  }
}

/// How far bytes may go over a network that anybody on the way can read and change.
public enum Plaintext: Sendable, Hashable {
  /// Not beyond this machine.
  case loopbackOnly
  /// To any host: somebody decided so. A transport that then crosses a network warns of it.
  case anywhere
  /// To any host: a layer above protects what this transport carries.
  case secured
}
