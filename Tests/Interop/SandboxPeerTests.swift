import ContainerdAPI
import ContainerdClient
import GRPCTransport
import Hawsepipe
import NIOCore
import RPCCore
import SwiftProtobuf
import TTRPC
import Testing
import TransportCore

/// The task and the sandbox API between ours and containerd's own Go packages, by gRPC and by ttrpc, over
/// a unix socket and over TLS with certificates of both sides.
@Suite(
  "The task and sandbox API with Go at the other end", .ttrpcPeers, .openSSL,
  .timeLimit(.minutes(5)))
struct SandboxPeerTests {
  private static let protocols = TransportAddress.RPCProtocol.allCases

  private func material(_ secured: Bool) async throws -> SandboxPeer.Material? {
    secured ? try await .make(try #require(OpenSSLFixture.current)) : nil
  }

  // MARK: Our clients, Go's shim

  @Test("our task client drives Go's shim", arguments: protocols, [false, true])
  func tasks(_ rpc: TransportAddress.RPCProtocol, _ secured: Bool) async throws {
    try await SandboxPeer.serving(rpc, try await material(secured)) { line in
      try await SandboxPeer.checkTasks(line)
    }
  }

  @Test("our sandbox client drives Go's shim", arguments: protocols, [false, true])
  func sandboxes(_ rpc: TransportAddress.RPCProtocol, _ secured: Bool) async throws {
    try await SandboxPeer.serving(rpc, try await material(secured)) { line in
      try await SandboxPeer.checkSandboxes(line)
    }
  }

  // MARK: Go's client, our servers

  @Test("Go's client is answered by our servers", arguments: protocols, [false, true])
  func servers(_ rpc: TransportAddress.RPCProtocol, _ secured: Bool) async throws {
    let material = try await material(secured)
    let folder = try PeerFolder()
    defer { folder.remove() }
    var address = folder.address
    if let material {
      address = try TransportAddress(
        parsing: "tls://127.0.0.1:0?\(material.server.parameters)&ca=\(material.authority)"
          + (rpc == .ttrpc ? "&alpn=h2" : ""))
    }
    address.rpc = rpc
    let listener = try await TransportRegistry.standard.listen(at: address)
    try await SandboxPeer.serve(rpc, on: listener) {
      var place = "unix:\(folder.socket)"
      if case .tcp(_, let port) = listener.boundAddress.place { place = "tcp:127.0.0.1:\(port)" }
      let answers = try await SandboxPeer.drive(
        rpc, place, material, namespace: "green", SandboxPeer.lines)
      SandboxPeer.expect(answers)
    }
  }
}
