#if canImport(Glibc)
  internal import Glibc
#endif

/// Decides whether a peer may be talked to, before a byte of protocol is read or written.
public struct PeerPolicy: Sendable {
  /// What the policy says in messages, such as "same user (uid 0)".
  public let name: String
  private let decide: @Sendable (PeerIdentity) -> Bool

  public init(name: String, allows: @escaping @Sendable (PeerIdentity) -> Bool) {
    self.name = name
    self.decide = allows
  }

  public func allows(_ peer: PeerIdentity) -> Bool { decide(peer) }

  /// The peer is a process of this process's effective user. The default on unix sockets.
  public static var sameUser: PeerPolicy {
    let uid = geteuid()
    return PeerPolicy(name: "same user (uid \(uid))") { $0.unix?.uid == uid }
  }

  /// The peer is a process of one of these users.
  public static func users(_ uids: Set<UInt32>) -> PeerPolicy {
    let list = uids.sorted().map(String.init).joined(separator: ", ")
    return PeerPolicy(name: "uid in {\(list)}") { peer in
      peer.unix.map { uids.contains($0.uid) } ?? false
    }
  }

  /// Everybody, also who cannot be identified. Never a default.
  public static let anyone = PeerPolicy(name: "anyone") { _ in true }
}
