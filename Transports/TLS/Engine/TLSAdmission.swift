internal import TransportCore

/// Whether a policy lets the peer in. It is asked once for a connection: while the peer's certificate
/// is verified, when there is one, so that the peer reads a refusal as an alert, and else when the
/// handshake is through.
struct TLSAdmission {
  /// Who the transport beneath says that it is.
  private let known: PeerIdentity
  private let policy: PeerPolicy
  private var isDecided = false
  private(set) var refusal: AttemptFailure?
  /// How long the policy took.
  private(set) var duration = Duration.zero

  init(_ known: PeerIdentity, _ policy: PeerPolicy) {
    self.known = known
    self.policy = policy
  }

  /// - Returns: whether the peer is let in.
  mutating func decide(_ identity: TLSIdentity) -> Bool {
    guard !isDecided else { return refusal == nil }
    let began = ContinuousClock.now
    var peer = known
    peer.tls = identity
    if !policy.allows(peer) { refusal = .refused(peer, by: policy) }
    duration = .now - began
    isDecided = true
    return refusal == nil
  }
}
