import NIOCore
import ProcessSupervision
import RPCCore
import TTRPC
import Testing
import TransportCore

/// Unary calls between ours and the ttrpc of Debian forky in Go and in Rust, both ways.
@Suite("ttrpc with Go and Rust at the other end: unary", .ttrpcPeers, .timeLimit(.minutes(5)))
struct TTRPCPeerUnaryTests {
  private static let all = TTRPCPeer.allCases

  // MARK: Our client, their server

  @Test("a peer's server answers, and sees our metadata and our deadline", arguments: all)
  func clientBasics(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer) { client, _ in
      #expect(try await client.ask("Echo", "naïve ✓") == "naïve ✓")
      #expect(try await client.ask("Echo") == "")
      // Written in capitals, they are found: ours go in small letters.
      let metadata: RPCMetadata = ["Key": "a", "KEY": "b", "key": "c", "other": "d"]
      #expect(try await client.ask("Metadata", "key", metadata: metadata) == "a,b,c")
      #expect(try await client.ask("Metadata", "absent", metadata: metadata) == "")
      let remaining = try await client.ask("Remaining", timeout: .seconds(50))
      #expect((1...50_000).contains(try #require(Int(remaining))))
      #expect(try await client.ask("Remaining", timeout: nil) == "none")
      #expect(try await client.ask("Sleep", "1") == "slept")
    }
  }

  @Test("a deadline ends the call here and the handler there", arguments: all)
  func clientDeadline(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer) { client, _ in
      // On a busy machine a deadline may pass before the handler is reached.
      var timeout = Duration.milliseconds(25)
      try await eventually("the end of a handler", within: .seconds(120)) {
        timeout *= 2
        let late = await client.failure("Sleep", "600000", timeout: timeout)
        #expect(late?.code == .deadlineExceeded)
        return try await client.ask("Woken") != "0"
      }
      try await eventually("the end of all", within: .seconds(120)) {
        try await client.ask("Asleep") == "0"
      }
    }
  }

  @Test("each code arrives with its text and its details", arguments: all)
  func clientErrors(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer) { client, _ in
      for code in Int32(1)...16 {
        let error = await client.failure("Fail", "\(code) no such thing")
        #expect(error?.code.rawValue == code)
        #expect(error?.message == "no such thing")
        #expect(error?.reason == .status)
        #expect(error?.details == [PeerService.detail(of: "no such thing")])
      }
      #expect(await client.failure("Nope")?.code == .unimplemented)
      let unknown = RPCMethod(service: "hawsepipe.test.Nobody", name: "Echo")
      let expected: RPCCode = peer == .go ? .unimplemented : .invalidArgument
      let error = await rpcFailure("an unknown service") {
        _ = try await client.call(unknown, payload: ByteBuffer())
      }
      #expect(error?.code == expected)
      let echo = try await client.ask("Echo", "still here")
      #expect(echo == "still here")
    }
  }

  @Test("ten thousand calls at once each get their own answer from a peer's server", arguments: all)
  func clientMany(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer) { client, _ in
      let wrong = try await withThrowingTaskGroup(of: Bool.self) { group in
        for index in 0..<10_000 {
          group.addTask { try await client.ask("Echo", "\(index)") != "\(index)" }
        }
        return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
      }
      #expect(wrong == 0)
    }
  }

  // MARK: Their client, our server

  @Test("a peer's client is answered, its metadata and its deadline are seen", arguments: all)
  func serverBasics(_ peer: TTRPCPeer) async throws {
    try await PeerService().serve { socket in
      let answers = try await peer.carryOut(
        at: socket,
        [
          "call\tEcho\tnaïve ✓\t0",
          "call\tEcho\t\t0",
          // Peers send keys as they are written; ours are found either way.
          "call\tMetadata\tkey\t60000\tKey=a\tKey=b\tother=c",
          "call\tMetadata\tKEY\t60000\tkey=a",
          "call\tRemaining\t\t0",
          "call\tSleep\t1\t60000",
          "call\tNope\t\t0",
        ])
      #expect(
        answers == [
          "ok naïve ✓", "ok ", "ok a,b", "ok a", "ok none", "ok slept", "error 12 method Nope",
        ])
      let remaining = try await peer.carryOut(at: socket, "call\tRemaining\t\t50000")
      #expect(["ok 49000", "ok 50000"].contains(remaining))
    }
  }

  @Test("a peer's deadline ends our handler", arguments: all)
  func serverDeadline(_ peer: TTRPCPeer) async throws {
    let service = PeerService()
    try await service.serve { socket in
      // On a busy machine a deadline may pass before the handler is reached.
      var timeout = 25
      try await eventually("the end of a handler", within: .seconds(120)) {
        timeout *= 2
        let answer = try await peer.carryOut(at: socket, "call\tSleep\t600000\t\(timeout)")
        // The peer's own clock, or our answer if it comes first.
        #expect(answer.hasPrefix("failed ") || answer.hasPrefix("error 4 "), "\(answer)")
        return service.now.woken > 0
      }
      try await eventually("the end of all", within: .seconds(120)) { service.isIdle }
    }
  }

  @Test("each of our codes reaches a peer's client with its text and its details", arguments: all)
  func serverErrors(_ peer: TTRPCPeer) async throws {
    try await PeerService().serve { socket in
      let codes = 1...16
      let answers = try await peer.carryOut(at: socket, codes.map { "call\tFail\t\($0) no\t0" })
      let detail = "type.googleapis.com/google.protobuf.StringValue:0a026e6f"
      #expect(answers == codes.map { "error \($0) no \(detail)" })
    }
  }

  @Test("ten thousand calls at once each get their own answer from our server", arguments: all)
  func serverMany(_ peer: TTRPCPeer) async throws {
    try await PeerService().serve { socket in
      // On one thread: on more, ttrpc-rust's client writes calls in another order than it numbered
      // them, and a part of them is refused for it, by Go's server as by ours.
      let answer = try await peer.carryOut(at: socket, threads: .one, "many\t10000")
      #expect(answer == "ok 10000")
    }
  }
}
