public import TransportCore

/// A transport that is to be checked: how it is dialled and listened at, and what it promises.
///
/// Whatever is left as it is means the common case: a socket that carries half-close both ways, whose
/// default policies let this process talk to itself.
public struct ConformanceSubject: Sendable {
  /// What is at the other end.
  public enum Peer: Sendable {
    /// A listener of the same transport, in this process. `address` makes one that nobody uses; it
    /// is called once a listener.
    case listener(address: @Sendable () async throws -> TransportAddress)
    /// A ``ConformanceServer`` that runs already: in another machine, behind a command. `address` is
    /// called once a connection, and told whether the server there is to speak first.
    case running(address: @Sendable (_ greets: Bool) async throws -> TransportAddress)
  }

  /// Which side may close its output alone, and is understood by the other one.
  public struct HalfClose: OptionSet, Sendable {
    public let rawValue: Int

    public init(rawValue: Int) { self.rawValue = rawValue }

    public static let fromDialer = HalfClose(rawValue: 1)
    public static let fromListener = HalfClose(rawValue: 2)
    public static let both: HalfClose = [.fromDialer, .fromListener]
  }

  /// Somebody who is there and never answers.
  public struct Mute: Sendable {
    public var address: TransportAddress
    public var end: @Sendable () async -> Void

    /// - Parameter end: called once, when the check is over.
    public init(address: TransportAddress, end: @escaping @Sendable () async -> Void = {}) {
      self.address = address
      self.end = end
    }
  }

  /// For people; also what distinguishes variants of one transport.
  public var name: String
  /// Has the connector and, for ``Peer/listener(address:)``, the listener factory.
  public var registry: TransportRegistry
  public var peer: Peer

  /// What to dial, given the address that a listener bound (`vsock://any:5` is dialled as
  /// `vsock://1:5`, say).
  public var dialled: @Sendable (TransportAddress) -> TransportAddress = { $0 }
  /// Policy, group, plaintext: timeouts are the checks' own.
  public var connectOptions = ConnectOptions(timeout: .seconds(60), tryLimit: .seconds(60))
  public var listenOptions = ListenOptions(handshakeLimit: .seconds(60))
  /// Who may connect. `nil`: the transport's default.
  public var listenPolicy: PeerPolicy?

  public var halfClose = HalfClose.both
  /// Whether each connection takes descriptors of the process on both sides.
  public var usesDescriptors = true
  /// Bytes that may be written and not read: what the kernel, a VMM or a tunnel buffers on the way,
  /// and what the channel does. It must be less than what a transport without bounds would buffer.
  public var mostOnTheWay = 24 << 20
  /// The most bytes that a check exchanges to see that none is lost. Where every packet is slow, in
  /// an emulated machine say, less has to do.
  public var mostExchanged = 16 << 20
  /// The phases that ``Connection/timings`` of a dialled connection must have.
  public var phases: Set<ConnectPhase> = [.connect]
  /// What the dialer must find out of its peer.
  public var identifiesListener: @Sendable (PeerIdentity) -> Bool = { _ in true }
  /// What the listener must find out of its peer.
  public var identifiesDialer: @Sendable (PeerIdentity) -> Bool = { _ in true }

  /// How long a check waits for anything. Only what hangs reaches it.
  public var patience = Duration.seconds(60)

  /// An address where nobody is; with a ``Peer/listener(address:)`` as it could be listened at, and
  /// in the end is. `nil`: a new one of the peer's, or none.
  public var absent: (@Sendable () async throws -> TransportAddress)?
  /// Whether an address can be one where nobody is. `false` for addresses of descriptors: theirs
  /// listen before they have an address, and are connected.
  public var canBeAbsent = true
  /// Gives back what an address of a ``Peer/running(address:)`` holds that was not dialled after all,
  /// since the connect was cancelled before it began. Called for every cancelled connect.
  public var discard: @Sendable (TransportAddress) async -> Void = { _ in }
  /// Somebody who never answers. `nil` where nobody can be mute.
  public var mute: (@Sendable () async throws -> Mute)?
  /// A listener on a socket that was bound before, as if it had been inherited. `nil` where the
  /// transport takes none.
  public var inherited: (@Sendable () async throws -> any Listener)?

  public init(
    name: String, registry: TransportRegistry, peer: Peer,
    _ set: (inout ConformanceSubject) -> Void = { _ in }
  ) {
    self.name = name
    self.registry = registry
    self.peer = peer
    set(&self)
  }
}

extension ConformanceSubject {
  var hasListener: Bool {
    if case .listener = peer { true } else { false }
  }

  /// An address where nobody is, if there is one.
  func absentAddress() async throws -> TransportAddress? {
    if let absent { return try await absent() }
    guard case .listener(let address) = peer else { return nil }
    return try await address()
  }

  var hasAbsent: Bool { canBeAbsent && (absent != nil || hasListener) }
}
