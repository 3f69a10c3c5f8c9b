public import NIOCore

/// An established connection: its channel, who is at the other end, and how long it took.
///
/// The channel has one owner: who connected. The handlers that `configure` added see every byte
/// from the first.
public struct Connection: Sendable {
  public let channel: any Channel
  /// The address that was connected to.
  public let address: TransportAddress
  public let peer: PeerIdentity
  /// How long each phase took, in the order in which they happened.
  public let timings: [PhaseTiming]
  /// Whether closing the output alone reaches the peer as an end of its input, with nothing lost
  /// (shutdown(2) of one direction). Where it does not, only a full close tells it the end.
  public let carriesHalfClose: Bool

  public init(
    channel: any Channel, address: TransportAddress, peer: PeerIdentity, timings: [PhaseTiming],
    carriesHalfClose: Bool = true
  ) {
    self.channel = channel
    self.address = address
    self.peer = peer
    self.timings = timings
    self.carriesHalfClose = carriesHalfClose
  }
}

/// A step on the way to a connection. The raw value is the word that messages use.
public enum ConnectPhase: String, Sendable, Hashable, CaseIterable {
  case resolve, connect
  /// What a transport says before it carries bytes, such as hybrid vsock's `CONNECT` and `OK`.
  case handshake
  case tls, identity
  /// What a ``ReadinessProbe`` asks of a peer that is connected to.
  case probe
  /// From the connection's being there until the peer's first byte. It is an event's, not one of
  /// ``Connection/timings``: it comes later.
  case firstByte = "first byte"
}

/// How long one phase took.
public struct PhaseTiming: Sendable, Hashable {
  public var phase: ConnectPhase
  public var duration: Duration

  public init(_ phase: ConnectPhase, _ duration: Duration) {
    self.phase = phase
    self.duration = duration
  }
}
