/// Something that happened on the way to a connection, on it, or at a listener.
public struct ConnectionEvent: Sendable {
  public enum Side: String, Sendable, Hashable, CaseIterable {
    case dialled, accepted
  }

  /// Why a connection ended.
  public enum CloseReason: Sendable, Hashable {
    /// This side closed it.
    case local
    /// The peer closed it.
    case peer
    /// It broke; the text says how.
    case failed(String)
  }

  public enum Kind: Sendable {
    /// A try to connect begins; the first is number 1.
    case attemptStarted(number: Int)
    case attemptFailed(number: Int, AttemptFailure, after: Duration)
    /// A step of the try that succeeded, as it took. All of them come before ``connected(_:after:)``.
    case phaseFinished(PhaseTiming)
    /// The connection is there and the policy lets the peer in.
    case connected(PeerIdentity, after: Duration)
    /// A peer was waited for, and has shown that it is ready.
    case ready(PeerIdentity, after: Duration)
    /// No try was left or no time.
    case gaveUp(TransportError, after: Duration)
    /// The policy does not let the peer in.
    case refused(PeerIdentity, reason: String)
    /// The peer's first byte, counted from the connection's being there.
    case firstByte(after: Duration)
    /// Bytes as the protocol's handlers saw them; those sent may not all have arrived.
    case closed(CloseReason, received: UInt64, sent: UInt64, lifetime: Duration)
    /// A listener is bound.
    case listening
    /// A listener takes no more connections.
    case stopped
    /// A listener could not accept, or a connection failed before it began.
    case acceptFailed(reason: String)
  }

  /// The same in all events of one call to connect, of one accepted connection, or of one listener.
  public var id: UInt64
  public var side: Side
  /// What was dialled or is listened at. It may hold secrets; its description does not.
  public var address: TransportAddress
  public var kind: Kind
  public var time: ContinuousClock.Instant

  public init(
    id: UInt64, side: Side, address: TransportAddress, kind: Kind,
    time: ContinuousClock.Instant = .now
  ) {
    self.id = id
    self.side = side
    self.address = address
    self.kind = kind
    self.time = time
  }
}

extension ConnectionEvent: CustomStringConvertible {
  /// One line, without secrets.
  public var description: String { "\(address) #\(id): \(kind)" }
}

extension ConnectionEvent.CloseReason: CustomStringConvertible {
  public var description: String {
    switch self {
    case .local: "by this side"
    case .peer: "by the peer"
    case .failed(let how): "broken: \(how)"
    }
  }
}

extension ConnectionEvent.Kind: CustomStringConvertible {
  public var description: String {
    switch self {
    case .attemptStarted(let number): "try \(number) begins"
    case .attemptFailed(let number, let failure, let duration):
      "try \(number) failed after \(duration.short): \(failure)"
    case .phaseFinished(let timing): "\(timing.phase.rawValue) took \(timing.duration.short)"
    case .connected(let peer, let duration): "connected to \(peer) after \(duration.short)"
    case .ready(let peer, let duration): "\(peer) is ready after \(duration.short)"
    case .gaveUp(let error, let duration): "gave up after \(duration.short): \(error.message)"
    case .refused(_, let reason): "refused: \(reason)"
    case .firstByte(let duration): "first byte after \(duration.short)"
    case .closed(let reason, let received, let sent, let lifetime):
      "closed \(reason) after \(lifetime.short), \(received) bytes received, \(sent) sent"
    case .listening: "listening"
    case .stopped: "stopped listening"
    case .acceptFailed(let reason): "could not accept: \(reason)"
    }
  }
}
