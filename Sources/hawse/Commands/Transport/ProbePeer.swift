import Foundation
import TransportCore

/// Who was at the other end of a probe.
struct ProbePeer: Encodable, Sendable, Hashable {
  struct Process: Encodable, Sendable, Hashable {
    var pid: Int32
    var uid: UInt32
    var gid: UInt32

    init(_ process: PeerIdentity.UnixProcess) {
      (pid, uid, gid) = (process.pid, process.uid, process.gid)
    }
  }

  struct Vsock: Encodable, Sendable, Hashable {
    var cid: UInt32
    var port: UInt32
  }

  struct Monitor: Encodable, Sendable, Hashable {
    var process: Process
    var assignedPort: UInt32?
  }

  struct Network: Encodable, Sendable, Hashable {
    var host: String
    var port: UInt16
    var isLoopback: Bool
  }

  var description: String
  var unix: Process?
  var vsock: Vsock?
  var monitor: Monitor?
  var network: Network?
  var commandPID: Int32?
  var isThisProcess: Bool

  init(_ peer: PeerIdentity) {
    description = "\(peer)"
    unix = peer.unix.map(Process.init)
    vsock = peer.vsock.map { Vsock(cid: $0.cid, port: $0.port) }
    monitor = peer.monitor.map {
      Monitor(process: Process($0.process), assignedPort: $0.assignedPort)
    }
    network = peer.network.map {
      Network(host: $0.host, port: $0.port, isLoopback: $0.isLoopback)
    }
    commandPID = peer.command?.pid
    isThisProcess = peer.isThisProcess
  }
}

/// What a TLS handshake showed, with expiry in the calendar's terms.
struct ProbeTLS: Encodable, Sendable {
  struct Certificate: Encodable, Sendable, Hashable {
    var subject: String
    var issuer: String
    /// ISO 8601, UTC.
    var notBefore: String
    var notAfter: String
    /// Negative when it has expired.
    var daysLeft: Int

    init(_ certificate: TLSIdentity.Certificate) {
      subject = certificate.subject
      issuer = certificate.issuer
      notBefore = Self.text(certificate.notBefore)
      notAfter = Self.text(certificate.notAfter)
      let left = Double(certificate.notAfter) - Date().timeIntervalSince1970
      daysLeft = Int((left / 86_400).rounded(.down))
    }

    private static func text(_ seconds: Int64) -> String {
      Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
    }
  }

  var version: String
  var cipher: String
  var alpn: String?
  var isVerified: Bool
  var isResumed: Bool
  var dnsNames: [String]
  var ipAddresses: [String]
  var uris: [String]
  var chain: [Certificate]

  init(_ tls: TLSIdentity) {
    version = tls.version.rawValue
    cipher = tls.cipher
    alpn = tls.alpn
    isVerified = tls.isVerified
    isResumed = tls.isResumed
    dnsNames = tls.dnsNames
    ipAddresses = tls.ipAddresses
    uris = tls.uris
    chain = tls.chain.map(Certificate.init)
  }

  var warnings: [String] {
    var warnings: [String] = []
    if !isVerified { warnings.append("the certificate was not verified") }
    for certificate in chain where certificate.daysLeft < 14 {
      let when = certificate.daysLeft < 0 ? "expired" : "expires"
      warnings.append(
        "the certificate of \(certificate.subject) \(when) at \(certificate.notAfter)")
    }
    return warnings
  }

  var rows: [[String]] {
    let verified = isVerified ? "verified" : "NOT verified"
    let protocolName = alpn.map { ", ALPN \($0)" } ?? ""
    var rows = [["tls", "TLS \(version), \(cipher), \(verified)\(protocolName)"]]
    let names = dnsNames + ipAddresses + uris
    if !names.isEmpty { rows.append(["names", names.joined(separator: ", ")]) }
    rows += chain.map { certificate in
      [
        "certificate",
        "\(certificate.subject), by \(certificate.issuer), until \(certificate.notAfter)"
          + " (\(certificate.daysLeft) days)",
      ]
    }
    return rows
  }
}
