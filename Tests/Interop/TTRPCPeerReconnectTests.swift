import Glibc
import ProcessSupervision
import RPCCore
import TTRPC
import Testing
import TransportCore

/// Servers in Go and in Rust that end and come again.
@Suite(
  "ttrpc with Go and Rust at the other end: reconnecting", .ttrpcPeers, .timeLimit(.minutes(5)))
struct TTRPCPeerReconnectTests {
  private static let all = TTRPCPeer.allCases

  @Test("calls go to the new server when one was killed, and those under way fail", arguments: all)
  func killed(_ peer: TTRPCPeer) async throws {
    let folder = try PeerFolder()
    defer { folder.remove() }
    let client = TTRPCRedialingClient(
      to: folder.address, using: PeerServer.connectors, options: PeerServer.patience)
    for _ in 0..<5 {
      let child = try await peer.serve(at: folder.socket)
      #expect(try await client.ask("Process") == "\(child.pid)")
      async let sleeping = client.failure("Sleep", "600000", timeout: nil)
      try await eventually("the call's arrival") { try await client.ask("Asleep") == "1" }
      child.signal(SIGKILL)
      _ = try await child.wait()
      #expect(await sleeping?.reason == .connectionClosed)
      unlink(folder.socket)
    }
    await client.close()
  }

  @Test("calls that may be repeated are made again at the next server", arguments: all)
  func repeated(_ peer: TTRPCPeer) async throws {
    let folder = try PeerFolder()
    defer { folder.remove() }
    let client = TTRPCRedialingClient(
      to: folder.address, using: PeerServer.connectors, options: PeerServer.patience,
      configuration: .init(retry: .init { $0.name == "Sleep" }))
    let first = try await peer.serve(at: folder.socket)
    async let sleeping = client.ask("Sleep", "1500")
    try await eventually("the call's arrival") { try await client.ask("Asleep") == "1" }
    first.signal(SIGKILL)
    _ = try await first.wait()
    unlink(folder.socket)
    let second = try await peer.serve(at: folder.socket)
    #expect(try await sleeping == "slept")
    second.signal(SIGKILL)
    _ = try await second.wait()
    await client.close()
  }

  @Test(
    "a server that shuts down answers what is under way; then the connection ends", arguments: all)
  func shutDown(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer) { client, server in
      let other = try await server.connect()
      async let slept = client.ask("Sleep", "1500")
      try await eventually("the call's arrival") { try await other.ask("Asleep") == "1" }
      server.child.signal(SIGTERM)
      #expect(try await slept == "slept")
      // Nobody tells a client in advance: the connection just ends, idle ones first.
      await other.waitUntilClosed()
      await client.waitUntilClosed()
      #expect(await client.failure("Echo")?.reason == .connectionClosed)
      #expect(try await server.child.wait().isSuccess)
      await #expect(throws: TransportError.self) {
        try await TTRPCClient.connect(to: server.address, using: PeerServer.connectors)
      }
    }
  }

  @Test("a Go server that is closed answers what is under way, takes nothing new, and lets go")
  func closed() async throws {
    try await PeerServer.with(.go) { client, server in
      let other = try await server.connect()
      async let slept = client.ask("Sleep", "1500")
      try await eventually("the call's arrival") { try await other.ask("Asleep") == "1" }
      server.child.signal(SIGINT)
      await other.waitUntilClosed()
      #expect(try await slept == "slept")
      await client.waitUntilClosed()
      // Its listener has removed its file.
      await #expect(throws: TransportError.self) {
        try await TTRPCClient.connect(to: server.address, using: PeerServer.connectors)
      }
    }
  }
}
