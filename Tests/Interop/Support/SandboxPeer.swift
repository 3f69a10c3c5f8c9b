import GRPCTransport
import Glibc
import Hawsepipe
import NIOCore
import ProcessSupervision
import RPCCore
import TTRPC
import Testing
import TransportCore

/// Go's shim and Go's client of shims, on containerd's own packages: see Peers/sandbox.
enum SandboxPeer {
  static let dialers = RPCDialers([TTRPCDialer(), GRPCDialer()])

  /// The two ends' certificates; the server's name is `sandbox`.
  struct Material: Sendable {
    var authority: String
    var server: OpenSSLPair
    var client: OpenSSLPair

    static func make(_ tls: OpenSSLFixture) async throws -> Material {
      Material(
        authority: tls.authority.certificate,
        server: try await tls.authority.issue(
          OpenSSLFixture.unique("sandbox"), names: ["DNS:sandbox"], usage: "serverAuth"),
        client: try await tls.authority.issueClient())
    }

    func words(_ pair: OpenSSLPair) -> [String] {
      ["tls=\(pair.certificate),\(pair.key),\(authority)"]
    }
  }

  private static func path() async throws -> String {
    "\(try await TTRPCPeer.folder())/sandbox-peer"
  }

  /// Runs `body` with a line to Go's shim over one connection.
  ///
  /// - Parameter material: TLS over TCP with certificates of both sides; nil: a unix socket.
  static func serving(
    _ rpc: TransportAddress.RPCProtocol, _ material: Material?,
    _ body: @Sendable (RPCLine) async throws -> Void
  ) async throws {
    try await served(rpc, material) { address, _ in
      let line = try await dialers.dial(
        address, using: .standard,
        options: ConnectOptions(timeout: .seconds(60), mode: .waitUntilReady()))
      try await body(line)
      await line.connection.close()
    }
  }

  /// Runs `body` with Go's shim, which may not listen yet, at an address. It may be killed.
  static func served(
    _ rpc: TransportAddress.RPCProtocol, _ material: Material?,
    _ body: (_ address: TransportAddress, _ child: ChildProcess) async throws -> Void
  ) async throws {
    let folder = try PeerFolder()
    defer { folder.remove() }
    let port = try freePort()
    let child = try Command(
      try await path(),
      arguments: [
        "serve", rpc.rawValue, material == nil ? "unix:\(folder.socket)" : "tcp:127.0.0.1:\(port)",
      ] + (material.map { $0.words($0.server) } ?? [])
    ).spawn()
    var address = folder.address
    if let material {
      address = try TransportAddress(
        parsing: "tls://127.0.0.1:\(port)?servername=sandbox&ca=\(material.authority)&"
          + "\(material.client.parameters)\(rpc == .ttrpc ? "&alpn=h2" : "")")
    }
    address.rpc = rpc
    do {
      try await body(address, child)
    } catch {
      child.signal(SIGKILL)
      _ = try await child.wait()
      throw error
    }
    child.signal(SIGTERM)
    _ = try await child.wait()
  }

  /// Has Go's client make calls, and returns an answer for each.
  ///
  /// - Parameter seconds: how long each may take.
  static func drive(
    _ rpc: TransportAddress.RPCProtocol, _ place: String, _ material: Material? = nil,
    namespace: String = "default", seconds: Int = 30, _ lines: [String]
  ) async throws -> [String] {
    let run = try await Command(
      try await path(),
      arguments: ["drive", rpc.rawValue, place] + (material.map { $0.words($0.client) } ?? [])
        + lines,
      environment: ["PEER_NAMESPACE=\(namespace)", "PEER_SECONDS=\(seconds)"]
    ).run(timeout: .seconds(120))
    let answers = String(decoding: run.standardOutput, as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
    try #require(
      run.status.isSuccess && answers.count == lines.count,
      "\(answers) \(String(decoding: run.standardError.suffix(2000), as: UTF8.self))")
    return answers
  }

  /// A port that nobody had a moment ago.
  private static func freePort() throws -> UInt16 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    try #require(descriptor >= 0, "errno \(errno)")
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
      }
    }
    try #require(result, "errno \(errno)")
    return UInt16(bigEndian: address.sin_port)
  }
}
