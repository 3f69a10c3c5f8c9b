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
  /// The most that is read at once. While bytes flow each direction has a buffer, whose size follows
  /// what comes, up to this; a connection on which nothing moves keeps none of them.
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

extension RelayOptions {
  /// A limit that is longer than this is none.
  private static let longest = Duration.seconds(10 * 365 * 86_400)

  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/invalidConfiguration``, which
  ///   names the option.
  func check() throws(TransportError) {
    try check("maxConnections", maxConnections, 1...1_000_000, "connections")
    try check("bufferSize", bufferSize, 1024...(16 << 20), "bytes")
    try check("highWaterMark", highWaterMark, 1024...(1 << 30), "bytes")
    try check("endLimit", endLimit)
    if let idleLimit { try check("idleLimit", idleLimit) }
    if let lifetimeLimit { try check("lifetimeLimit", lifetimeLimit) }
  }

  private func check(
    _ name: String, _ value: Int, _ range: ClosedRange<Int>, _ unit: String
  ) throws(TransportError) {
    guard !range.contains(value) else { return }
    throw TransportError(
      code: .invalidConfiguration, message: "a relay's \(name) is \(value) \(unit)",
      hint: "give it from \(range.lowerBound) to \(range.upperBound)")
  }

  private func check(_ name: String, _ value: Duration) throws(TransportError) {
    // A bridge looks four times within a limit; below this it would do little else.
    guard value < .milliseconds(4) || value > Self.longest else { return }
    let none = name == "endLimit" ? "" : ", or nil for no limit"
    throw TransportError(
      code: .invalidConfiguration, message: "a relay's \(name) is \(value)",
      hint: "give it from 4 ms to ten years\(none)")
  }
}
