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
      // Also when something fails.
      defer { child.signal(SIGKILL) }
      #expect(try await client.ask("Process") == "\(child.pid)")
      async let sleeping = client.failure("Sleep", "600000", timeout: nil)
      try await eventually("the call's arrival", within: .seconds(120)) {
        try await client.ask("Asleep") == "1"
      }
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
    defer { first.signal(SIGKILL) }
    let sleeper = try await Sleeper.begin(with: client, watchedBy: client)
    first.signal(SIGKILL)
    _ = try await first.wait()
    unlink(folder.socket)
    let second = try await peer.serve(at: folder.socket)
    defer { second.signal(SIGKILL) }
    #expect(try await sleeper.answer() == "slept")
    second.signal(SIGKILL)
    _ = try await second.wait()
    await client.close()
  }

  /// How a peer's server is told to end.
  enum Ending: Sendable, CaseIterable {
    case goShutdown, goClose, rustShutdown

    var peer: TTRPCPeer { self == .rustShutdown ? .rust : .go }
    var signal: Int32 { self == .goClose ? SIGINT : SIGTERM }
  }

  @Test(
    "a server that ends answers what is under way; then the connection ends",
    arguments: Ending.allCases)
  func ended(_ ending: Ending) async throws {
    try await PeerServer.with(ending.peer) { client, server in
      let idle = try await server.connect()
      let sleeper = try await Sleeper.begin(with: client, watchedBy: client)
      // Go notes that the connection is in use behind an answer: by the next one it has done so.
      for _ in 0..<2 { #expect(try await client.ask("Echo", "in use") == "in use") }
      server.child.signal(ending.signal)
      #expect(try await sleeper.answer() == "slept")
      // Nobody tells a client in advance: the connection just ends.
      await idle.waitUntilClosed()
      await client.waitUntilClosed()
      #expect(await client.failure("Echo")?.reason == .connectionClosed)
      await #expect(throws: TransportError.self) {
        try await TTRPCClient.connect(to: server.address, using: PeerServer.connectors)
      }
      // A closed Go server goes on until it is killed.
      guard ending != .goClose else { return }
      #expect(try await server.child.wait().isSuccess)
    }
  }

  @Test("a Go server that ends drops a call that is the first of its connection")
  func droppedByGo() async throws {
    try await PeerServer.with(.go) { client, server in
      // Go takes a connection for idle until it has written an answer with another call open, and
      // ends one that is idle. So the call is watched over another connection here.
      let other = try await server.connect()
      let sleeper = try await Sleeper.begin(
        with: client, watchedBy: other, milliseconds: 600_000)
      server.child.signal(SIGTERM)
      await client.waitUntilClosed()
      let error = await rpcFailure("the call under way") { _ = try await sleeper.answer() }
      #expect(error?.reason == .connectionClosed)
      await other.waitUntilClosed()
    }
  }

  @Test("our server answers a peer what is under way when it is shut down", arguments: all)
  func ourShutdown(_ peer: TTRPCPeer) async throws {
    let service = PeerService()
    try await service.serve { socket in
      async let answers = peer.carryOut(
        at: socket, ["call\tSleep\t3000\t0", "call\tEcho\thi\t0"])
      try await eventually("the call's arrival", within: .seconds(120)) {
        service.now.asleep == 1 || service.now.ended > 0
      }
      let isAsleep = service.now.asleep == 1
      await service.control.shutDown(within: .seconds(60))
      #expect(service.isIdle)
      let both = try await answers
      // ttrpc-rust hands an answer to a task of its own, and an end of the connection that is read right
      // behind it overtakes that.
      let overtaken = "failed socket err: early eof"
      #expect(both[0] == "ok slept" || (peer == .rust && both[0] == overtaken), "\(both)")
      // The second call comes too late, or finds the connection closed.
      if isAsleep { #expect(!both[1].hasPrefix("ok")) }
    }
  }
}

/// A call of Sleep that is under way, for some seconds.
private final class Sleeper: Sendable {
  private let call: Task<String, any Error>
  private let ended = Guarded(false)

  var hasEnded: Bool { ended.value }

  private init(_ client: some RPCCaller, _ milliseconds: Int) {
    let ended = ended
    call = Task {
      defer { ended.set(true) }
      return try await client.ask("Sleep", "\(milliseconds)", timeout: nil)
    }
  }

  /// Returns when the call has reached the server. On a very busy machine it may have ended by then.
  static func begin(
    with client: some RPCCaller, watchedBy watcher: some RPCCaller, milliseconds: Int = 3000
  ) async throws -> Sleeper {
    let sleeper = Sleeper(client, milliseconds)
    try await eventually("the call's arrival", within: .seconds(120)) {
      let asleep = try await watcher.ask("Asleep")
      return asleep == "1" || sleeper.hasEnded
    }
    return sleeper
  }

  func answer() async throws -> String { try await call.value }
}
