import Glibc
import Testing
import TransportCore

private func unix(uid: UInt32, gid: UInt32 = 0) -> PeerIdentity {
  PeerIdentity(unix: .init(pid: 7, uid: uid, gid: gid))
}

private func monitor(uid: UInt32) -> PeerIdentity {
  PeerIdentity(monitor: .init(process: .init(pid: 8, uid: uid, gid: 5), assignedPort: 1024))
}

private func vsock(_ cid: UInt32) -> PeerIdentity {
  PeerIdentity(vsock: .init(cid: cid, port: 1024))
}

private func tls(
  dns: [String] = [], ip: [String] = [], uris: [String] = [], isVerified: Bool = true,
  hasChain: Bool = true
) -> PeerIdentity {
  let certificate = TLSIdentity.Certificate(
    bytes: [1], subject: "CN=shim", issuer: "CN=ca", notBefore: 0, notAfter: 1)
  return PeerIdentity(
    tls: TLSIdentity(
      version: .tls13, cipher: "TLS_AES_128_GCM_SHA256", chain: hasChain ? [certificate] : [],
      isVerified: isVerified, dnsNames: dns, ipAddresses: ip, uris: uris))
}

private let nobody = PeerIdentity()

@Suite struct PeerPolicyTests {
  @Test(
    "Each policy allows whom it names, and nobody whom it cannot see",
    arguments: [
      (PeerPolicy.anyone, [nobody, unix(uid: 1)], []),
      (
        .sameUser, [unix(uid: geteuid()), monitor(uid: geteuid())],
        [unix(uid: geteuid() + 1), monitor(uid: geteuid() + 1), nobody, vsock(2), tls()]
      ),
      (.users([1, 2]), [unix(uid: 2), monitor(uid: 1)], [unix(uid: 3), nobody]),
      (.users([]), [], [unix(uid: 0), nobody]),
      (.groups([5]), [unix(uid: 1, gid: 5), monitor(uid: 9)], [unix(uid: 5, gid: 1), nobody]),
      (.hostOnly, [vsock(2)], [vsock(1), vsock(3), unix(uid: 0), nobody]),
      (.cids([3, 4]), [vsock(3), vsock(4)], [vsock(2), nobody]),
      (.verifiedCertificate, [tls()], [tls(isVerified: false), tls(hasChain: false), nobody]),
      (
        .dnsNames(["Shim.example"]), [tls(dns: ["a", "shim.EXAMPLE"])],
        [tls(dns: ["*.example"]), tls(dns: ["shim.example"], isVerified: false), nobody]
      ),
      (
        .ipAddresses(["0:0:0:0:0:0:0:1", "10.0.0.1", "nonsense"]),
        [tls(ip: ["::1"]), tls(ip: ["10.0.0.1"])],
        [tls(ip: ["10.0.0.2"]), tls(ip: ["nonsense"]), tls(ip: ["::1"], isVerified: false), nobody]
      ),
      (
        .uris(["spiffe://a/x"]), [tls(uris: ["spiffe://a/x"])],
        [tls(uris: ["spiffe://a/X"]), tls(uris: ["spiffe://a/x"], isVerified: false), nobody]
      ),
      (
        .trustDomain("a.example"), [tls(uris: ["spiffe://a.example/x"])],
        [
          tls(uris: ["spiffe://a.example.evil/x"]), tls(uris: ["https://a.example/x"]),
          tls(uris: ["spiffe://a.example/x", "spiffe://b/x"]),
          tls(uris: ["spiffe://a.example/x"], isVerified: false), nobody,
        ]
      ),
      (.all([.users([1]), .groups([5])]), [unix(uid: 1, gid: 5)], [unix(uid: 1), nobody]),
      (.all([]), [nobody], []),
      (
        .any([.users([1]), .hostOnly]), [unix(uid: 1), vsock(2)], [unix(uid: 2), vsock(3), nobody]
      ),
      (.any([]), [], [nobody, unix(uid: 0), tls()]),
    ] as [(PeerPolicy, [PeerIdentity], [PeerIdentity])])
  func policies(policy: PeerPolicy, allowed: [PeerIdentity], refused: [PeerIdentity]) {
    for peer in allowed { #expect(policy.allows(peer), "\(policy.name) allows \(peer)") }
    for peer in refused { #expect(!policy.allows(peer), "\(policy.name) refuses \(peer)") }
  }

  @Test("A policy's name says whom it allows")
  func names() {
    #expect(PeerPolicy.sameUser.name == "same user (uid \(geteuid()))")
    #expect(PeerPolicy.users([7, 3]).name == "uid in {3, 7}")
    #expect(PeerPolicy.all([.hostOnly]).name == "the VM's host (cid 2)")
    #expect(
      PeerPolicy.any([.users([1]), .all([.hostOnly, .verifiedCertificate])]).name
        == "(uid in {1}) or ((the VM's host (cid 2)) and (a verified certificate))")
    #expect(PeerPolicy.any([]).name == "nobody")
    #expect(PeerPolicy.all([]).name == "anyone")
  }

  @Test("A refusal names the peer and the policy, and is final")
  func refusal() {
    let failure = AttemptFailure.refused(unix(uid: 3), by: .users([1]))
    #expect(failure.isRefusal)
    #expect(failure.phase == .identity)
    #expect(failure.outlook == .fatal)
    #expect(failure.peer == unix(uid: 3))
    #expect(
      failure.message
        == "the peer (pid 7, uid 3, gid 0) is not allowed by the policy \"uid in {1}\"")
    #expect(!AttemptFailure.cancelled(during: .identity).isRefusal)
  }

  @Test(
    "An identity says all that is known of the peer",
    arguments: [
      (nobody, "unidentified peer"),
      (unix(uid: 1), "pid 7, uid 1, gid 0"),
      (vsock(3), "cid 3, port 1024"),
      (monitor(uid: 1), "VMM pid 8, uid 1, gid 5"),
      (
        PeerIdentity(network: .init(host: "::1", port: 9, isLoopback: true)), "[::1]:9"
      ),
      (
        PeerIdentity(network: .init(host: "10.0.0.1", port: 9, isLoopback: false)), "10.0.0.1:9"
      ),
      (PeerIdentity(command: .init(pid: 5)), "child pid 5"),
      (PeerIdentity(isThisProcess: true), "this process"),
      (tls(dns: ["a"], uris: ["spiffe://x/y"]), "TLS 1.3, spiffe://x/y, a"),
      (tls(isVerified: false), "TLS 1.3, unverified CN=shim"),
      (tls(hasChain: false), "TLS 1.3, no certificate"),
    ])
  func descriptions(peer: PeerIdentity, text: String) {
    #expect(peer.description == text)
  }

  @Test("Layers' identities stand side by side")
  func layers() {
    var peer = unix(uid: 1)
    peer.tls = tls(dns: ["a"]).tls
    #expect(peer.description == "pid 7, uid 1, gid 0; TLS 1.3, a")
  }

  @Test("A SPIFFE ID is the one URI of a verified certificate")
  func spiffe() {
    #expect(tls(uris: ["spiffe://x/y"]).tls?.spiffeID == "spiffe://x/y")
    #expect(tls(uris: ["spiffe://x/y", "https://z"]).tls?.spiffeID == nil)
    #expect(tls(uris: ["https://z"]).tls?.spiffeID == nil)
    #expect(tls(uris: ["spiffe://x/y"], isVerified: false).tls?.spiffeID == nil)
  }
}
