internal import NIOCore

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

  /// Everybody, also who cannot be identified. A default only where the transport itself says who
  /// the peer is: a descriptor that was handed over, a command that this process runs.
  public static let anyone = PeerPolicy(name: "anyone") { _ in true }
}

// MARK: Processes of this host

extension PeerPolicy {
  /// The peer is a process of this process's effective user: the other end of a unix socket, or a
  /// VMM. The default on unix sockets and hybrid vsock.
  public static var sameUser: PeerPolicy {
    let uid = geteuid()
    return PeerPolicy(name: "same user (uid \(uid))") { peer in
      peer.localProcess?.uid == uid
    }
  }

  /// The peer is a process of one of these users.
  public static func users(_ uids: Set<UInt32>) -> PeerPolicy {
    PeerPolicy(name: "uid in {\(list(uids))}") { peer in
      peer.localProcess.map { uids.contains($0.uid) } ?? false
    }
  }

  /// The peer is a process with one of these as its group.
  public static func groups(_ gids: Set<UInt32>) -> PeerPolicy {
    PeerPolicy(name: "gid in {\(list(gids))}") { peer in
      peer.localProcess.map { gids.contains($0.gid) } ?? false
    }
  }

  private static func list(_ numbers: Set<UInt32>) -> String {
    numbers.sorted().map(String.init).joined(separator: ", ")
  }
}

extension PeerIdentity {
  /// The process of this host at the other end: of a unix socket, or the VMM.
  fileprivate var localProcess: UnixProcess? { unix ?? monitor?.process }
}

// MARK: Virtual machines

extension PeerPolicy {
  /// The peer is the host of this VM (CID 2). The default of vsock listeners: without it, whoever
  /// runs in the guest, or in a sibling VM, could talk to the guest's agent.
  public static let hostOnly = PeerPolicy(name: "the VM's host (cid 2)") { $0.vsock?.cid == 2 }

  /// The peer is in one of these VMs.
  public static func cids(_ cids: Set<UInt32>) -> PeerPolicy {
    PeerPolicy(name: "cid in {\(list(cids))}") { peer in
      peer.vsock.map { cids.contains($0.cid) } ?? false
    }
  }
}

// MARK: Certificates

extension PeerPolicy {
  /// The peer showed a certificate, and its chain was verified.
  public static let verifiedCertificate = PeerPolicy(name: "a verified certificate") { peer in
    peer.tls.map { $0.isVerified && !$0.chain.isEmpty } ?? false
  }

  /// The peer's certificate was verified and has one of these DNS names, without regard to case. A
  /// wildcard in a certificate is not matched here: a policy names peers, one by one.
  public static func dnsNames(_ names: Set<String>) -> PeerPolicy {
    let wanted = Set(names.map { $0.lowercased() })
    return certificate("DNS name in {\(names.sorted().joined(separator: ", "))}") { tls in
      tls.dnsNames.contains { wanted.contains($0.lowercased()) }
    }
  }

  /// The peer's certificate was verified and has one of these URIs, byte for byte: SPIFFE IDs, say.
  public static func uris(_ uris: Set<String>) -> PeerPolicy {
    certificate("URI in {\(uris.sorted().joined(separator: ", "))}") { tls in
      tls.uris.contains { uris.contains($0) }
    }
  }

  /// The peer's certificate was verified and has one of these IP addresses, however they are written
  /// (`::1` and `0:0:0:0:0:0:0:1` are one). A text that is no address matches nothing.
  public static func ipAddresses(_ addresses: Set<String>) -> PeerPolicy {
    let wanted = Set(addresses.compactMap(canonicalIPAddress))
    return certificate("IP address in {\(addresses.sorted().joined(separator: ", "))}") { tls in
      tls.ipAddresses.contains { canonicalIPAddress($0).map(wanted.contains) ?? false }
    }
  }

  private static func canonicalIPAddress(_ text: String) -> String? {
    // It throws for what is no literal, which is all that is asked here.
    (try? SocketAddress(ipAddress: text, port: 0))?.ipAddress
  }

  /// The peer has a verified SPIFFE ID of this trust domain, such as `example.org`.
  public static func trustDomain(_ domain: String) -> PeerPolicy {
    let start = "spiffe://\(domain)/"
    return certificate("SPIFFE trust domain \(domain)") { $0.spiffeID?.hasPrefix(start) ?? false }
  }

  private static func certificate(
    _ name: String, _ allows: @escaping @Sendable (TLSIdentity) -> Bool
  ) -> PeerPolicy {
    PeerPolicy(name: name) { peer in
      guard let tls = peer.tls, tls.isVerified else { return false }
      return allows(tls)
    }
  }
}

// MARK: Several together

extension PeerPolicy {
  /// Every one of these allows the peer. Of none: everybody, as ``anyone``.
  public static func all(_ policies: [PeerPolicy]) -> PeerPolicy {
    guard !policies.isEmpty else { return .anyone }
    return PeerPolicy(name: names(policies, "and")) { peer in
      policies.allSatisfy { $0.allows(peer) }
    }
  }

  /// At least one of these allows the peer. Of none: nobody.
  public static func any(_ policies: [PeerPolicy]) -> PeerPolicy {
    guard !policies.isEmpty else { return PeerPolicy(name: "nobody") { _ in false } }
    return PeerPolicy(name: names(policies, "or")) { peer in
      policies.contains { $0.allows(peer) }
    }
  }

  private static func names(_ policies: [PeerPolicy], _ word: String) -> String {
    guard policies.count > 1 else { return policies[0].name }
    return policies.map { "(\($0.name))" }.joined(separator: " \(word) ")
  }
}
