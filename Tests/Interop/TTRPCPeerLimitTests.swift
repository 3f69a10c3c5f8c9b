import NIOCore
import ProcessSupervision
import RPCCore
import SwiftProtobuf
import Testing
import TransportCore

@testable import TTRPC

/// The largest messages, and streams that nobody reads, between ours and the ttrpc of Debian forky in
/// Go and in Rust, both ways.
@Suite("ttrpc with Go and Rust at the other end: limits", .ttrpcPeers, .timeLimit(.minutes(5)))
struct TTRPCPeerLimitTests {
  private static let all = TTRPCPeer.allCases
  private static let mebibytes4 = 4 << 20

  /// How long a text may be so that its answer's envelope has just 4 MiB: the text's and the payload's
  /// tags and lengths are 5 bytes each, and Rust writes an empty status.
  private static func largest(from peer: TTRPCPeer) -> Int {
    mebibytes4 - 10 - (peer == .rust ? 2 : 0)
  }

  // MARK: 4 MiB, our client

  @Test("a peer takes a request of 4 MiB, and we refuse to send a byte more", arguments: all)
  func requests(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer) { client, _ in
      // The service's name takes 21 bytes and the method's 6. Without a timeout: it would vary.
      let text = String(repeating: "x", count: Self.mebibytes4 - 10 - 27)
      let echoed = try await client.ask("Echo", text, timeout: nil)
      #expect(echoed == text)
      let refused = await client.failure("Echo", text + "x", timeout: nil)
      #expect(refused?.code == .resourceExhausted)
      #expect(refused?.reason == .oversize)
      #expect(try await client.ask("Echo", "still here") == "still here")
    }
  }

  @Test("we take an answer of 4 MiB; of a larger one we learn", arguments: all)
  func answers(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer) { client, server in
      let largest = Self.largest(from: peer)
      #expect(try await client.ask("Letters", "\(largest)").utf8.count == largest)
      let refused = await client.failure("Letters", "\(largest + 1)")
      switch peer {
      case .go:
        // Go 1.2.6 and newer close the whole connection over an answer that is too large.
        #expect(refused?.reason == .connectionClosed)
        await client.waitUntilClosed()
        let other = try await server.connect()
        #expect(try await other.ask("Echo", "still here") == "still here")
        await other.close()
      case .rust:
        // An answer in its place.
        #expect(refused?.code == .invalidArgument)
        #expect(refused?.reason == .status)
        #expect(try await client.ask("Echo", "still here") == "still here")
      }
    }
  }

  @Test(
    "a stream carries messages of 4 MiB both ways, and goes on when we refuse more", arguments: all)
  func messages(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer, threads: .one) { client, _ in
      let call = try await client.talk("EchoStream")
      let text = String(repeating: "x", count: Self.mebibytes4 - 5)
      try await call.send(PeerText(text))
      #expect(try await call.responses.next()?.value == text)
      let refused = await rpcFailure("a larger message") {
        try await call.send(PeerText(text + "x"))
      }
      #expect(refused?.reason == .oversize)
      try await call.send(PeerText("after"))
      #expect(try await call.responses.next()?.value == "after")
      try await call.finishSending()
      #expect(try await call.responses.next() == nil)
    }
  }

  // MARK: 4 MiB, our server

  @Test(
    "our server takes a request of 4 MiB and answers as much; a larger answer is an error",
    arguments: all)
  func ourAnswers(_ peer: TTRPCPeer) async throws {
    try await PeerService().serve { socket in
      let largest = Self.mebibytes4 - 10
      let answers = try await peer.carryOut(
        at: socket,
        [
          "call\tEcho\tsize:\(largest - 27)\t0",
          "call\tLetters\t\(largest)\t0",
          "call\tLetters\t\(largest + 1)\t0",
          // Peers refuse to send as much: ours need not.
          "call\tEcho\tsize:\(largest - 26)\t0",
          "call\tEcho\tstill here\t0",
        ])
      #expect(answers[0] == "ok size:\(largest - 27)")
      #expect(answers[1] == "ok size:\(largest)")
      #expect(
        answers[2] == "error 8 message length 4194305 exceed maximum message size of 4194304")
      #expect(!answers[3].hasPrefix("ok"))
      #expect(answers[4] == "ok still here")
    }
  }

  @Test("our server's streams carry messages of 4 MiB both ways", arguments: all)
  func ourMessages(_ peer: TTRPCPeer) async throws {
    try await PeerService().serve { socket in
      let size = Self.mebibytes4 - 5
      let answer = try await peer.carryOut(
        at: socket, threads: .one, "lockstep\tEchoStream\tsize:\(size)\ta")
      #expect(answer == "size:\(size),a end")
    }
  }

  // MARK: Nobody reads

  @Test("a handler in Rust that never reads does not hold up its connection")
  func ignoredByRust() async throws {
    try await PeerServer.with(.rust) { client, _ in
      let call = try await client.talk("Ignore")
      for _ in 0..<1000 { try await call.send(PeerText("x")) }
      #expect(try await client.ask("Echo", "still here") == "still here")
      call.cancel()
      #expect(try await client.ask("Echo", "still here") == "still here")
    }
  }

  @Test(
    "a handler in Go that never reads stalls its connection, which ends here by deadlines and close"
  )
  func ignoredByGo() async throws {
    try await PeerServer.with(.go) { client, server in
      let call = try await client.talk("Ignore")
      // Go 1.2.7 keeps 5 messages of a stream and stops reading the connection at the one behind.
      for _ in 0..<20 { try await call.send(PeerText("x")) }
      let stalled = await client.failure("Echo", timeout: .milliseconds(200))
      #expect(stalled?.reason == .deadline)
      // Until the connection takes no more, and a send waits; it can be withdrawn.
      let sending = Task {
        let large = PeerText(String(repeating: "x", count: 1 << 20))
        while true { try await call.send(large) }
      }
      try await eventually("a send that waits", within: .seconds(120)) {
        await client.failure("Echo", timeout: .milliseconds(50))?.reason == .deadline
      }
      sending.cancel()
      let withdrawn = await rpcFailure("the send that waits") { try await sending.value }
      #expect(withdrawn?.reason == .cancelled)
      let other = try await server.connect()
      #expect(try await other.ask("Echo", "still here") == "still here")
      await client.close()
      #expect(await call.responses.failure()?.reason == .connectionClosed)
      #expect(try await other.ask("Echo", "still here") == "still here")
      await other.close()
    }
  }

  @Test("a stream that we do not read is given up, and the others go on", arguments: all)
  func unreadByUs(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer, threads: .one) { _, server in
      // More than the connection may hold: it is not read until the stream is given up.
      let budget = TTRPCStreamBudget(connectionBytes: 1 << 20, grace: .milliseconds(50))
      let client = try await server.connect(.init(streams: budget))
      let flood = try await client.serverStreaming(
        PeerService.method("Flood"), PeerText("1000 10000"), returning: PeerText.self,
        options: .init())
      for _ in 0..<20 {
        let echo = try await client.ask("Echo", "still here")
        #expect(echo == "still here")
      }
      try await eventually("the stream's end", within: .seconds(120)) {
        await client.pendingCalls == 0
      }
      #expect(await flood.failure()?.code == .resourceExhausted)
      let echo = try await client.ask("Echo", "still here")
      #expect(echo == "still here")
      await client.close()
    }
  }

  @Test("a handler of ours that never reads does not hold up a peer's connection", arguments: all)
  func ignoredByUs(_ peer: TTRPCPeer) async throws {
    let service = PeerService()
    try await service.serve { socket in
      let answer = try await peer.carryOut(at: socket, "unread\tIgnore\t50\t100")
      #expect(answer == "ok still here")
      try await eventually("the handler's end", within: .seconds(120)) { service.isIdle }
    }
  }

  @Test(
    "a stream that no handler reads is given up, and its peer's connection goes on", arguments: all)
  func givenUpByUs(_ peer: TTRPCPeer) async throws {
    let service = PeerService()
    try await service.serve(.init(streams: .init(grace: .milliseconds(50)))) { socket in
      let answer = try await peer.carryOut(at: socket, "unread\tIgnore\t1000\t100")
      #expect(answer == "ok still here")
      try await eventually("the handler's end", within: .seconds(120)) { service.isIdle }
    }
  }
}
