public import Logging
public import NIOCore

/// Listens at one kind of address: the other half of a transport, beside its ``Connector``.
public protocol ListenerFactory: Sendable {
  /// The transport's name in addresses, such as `unix`.
  var transport: String { get }

  /// The names of the address parameters that it understands.
  var parameters: Set<String> { get }

  /// Binds and listens.
  ///
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/listenFailed``; nothing is
  ///   left behind then.
  func listen(
    at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener
}

extension ListenerFactory {
  public var parameters: Set<String> { [] }
}

/// How connections are taken.
public struct ListenOptions: Sendable {
  /// How many peers may wait to be accepted; the kernel's `somaxconn` is the most.
  public var backlog: Int32
  /// How long a peer may take to become a connection (a TLS handshake, say).
  public var handshakeLimit: Duration
  /// Where the listener's and its connections' event loops come from. `nil`: the process's shared
  /// group.
  public var group: (any EventLoopGroup)?
  public var logger: Logger?
  /// Where a network may be listened on without TLS.
  public var plaintext: Plaintext
  /// Is told of every event of the listener and its connections, when it was made by
  /// ``TransportRegistry/listen(at:options:)``, and otherwise of refusals and failures only.
  public var observer: (any ConnectionObserver)?

  public init(
    backlog: Int32 = 1024, handshakeLimit: Duration = .seconds(10),
    group: (any EventLoopGroup)? = nil, logger: Logger? = nil, plaintext: Plaintext = .loopbackOnly,
    observer: (any ConnectionObserver)? = nil
  ) {
    self.backlog = backlog
    self.handshakeLimit = handshakeLimit
    self.group = group
    self.logger = logger
    self.plaintext = plaintext
    self.observer = observer
  }
}
