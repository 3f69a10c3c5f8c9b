import NIOCore
import RPCCore
import SwiftProtobuf
import TTRPC
import Testing
import TransportCore

/// Streams between ours and the ttrpc of Debian forky in Go and in Rust, both ways.
@Suite("ttrpc with Go and Rust at the other end: streams", .ttrpcPeers, .timeLimit(.minutes(5)))
struct TTRPCPeerStreamTests {
  private static let all = TTRPCPeer.allCases

  // MARK: Our client, their server

  @Test("a peer adds up what we send, empty messages included", arguments: all)
  func sum(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer, threads: .one) { client, _ in
      for (numbers, answer) in [
        ([], "0 of 0"), ([""], "0 of 1"), (["", "1", "2", "", "3", ""], "6 of 6"),
      ] {
        let call = try await client.clientStreaming(
          PeerService.method("Sum"), sending: PeerText.self, returning: PeerText.self,
          options: .init())
        for number in numbers { try await call.send(PeerText(number)) }
        #expect(try await call.response().value == answer)
      }
    }
  }

  @Test("a peer divides what we ask, empty messages and an empty request included", arguments: all)
  func divide(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer, threads: .one) { client, _ in
      let many = (0..<1000).map(String.init)
      for (whole, parts) in [
        ("a,,b,", ["a", "", "b", ""]), ("", [""]), (many.joined(separator: ","), many),
      ] {
        let divided = try await client.divided(whole)
        #expect(divided == parts)
      }
    }
  }

  @Test("each of our messages comes back, and half of a stream closes by itself", arguments: all)
  func echoes(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer, threads: .one) { client, _ in
      let call = try await client.talk("EchoStream")
      for index in 0..<50 {
        // The first one is the first: Rust would put an empty one before it, had our Request not said
        // that it carries no message.
        try await call.send(PeerText("\(index)"))
        #expect(try await call.responses.next()?.value == "\(index)")
      }
      try await call.send(PeerText())
      #expect(try await call.responses.next()?.value == "")
      for text in ["a", "b", "c"] { try await call.send(PeerText(text)) }
      try await call.finishSending()
      #expect(try await call.responses.texts() == ["a", "b", "c"])
    }
  }

  @Test(
    "a server that ends a stream early ends it for us, and nothing more is sent", arguments: all)
  func earlyEnd(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer, threads: .one) { client, _ in
      for _ in 0..<20 {
        let call = try await client.talk("EchoStream")
        try await call.send(PeerText("a"))
        #expect(try await call.responses.next()?.value == "a")
        try await call.send(PeerText("."))
        #expect(try await call.responses.next() == nil)
        // Go 1.2.7 ends its process when a message comes for a stream that is no more.
        let late = await rpcFailure("a late send") { try await call.send(PeerText("late")) }
        #expect(late?.code == .failedPrecondition)
        try await call.finishSending()
        call.cancel()
        #expect(try await client.ask("Echo", "still here") == "still here")
      }
    }
  }

  @Test("a response before the last request is the response", arguments: all)
  func earlyResponse(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer, threads: .one) { client, _ in
      let stream = try await client.open(
        PeerService.method("First"), kind: .clientStreaming, request: nil, options: .init())
      try await stream.send(try PeerText("a").bytes())
      let answer = try await stream.next()
      #expect(try answer.map { try PeerText(bytes: $0) }?.value == "a")
      #expect(try await stream.next() == nil)
      #expect(try await client.ask("Echo", "still here") == "still here")
    }
  }

  @Test("a stream that fails halfway says why, behind what came before", arguments: all)
  func failures(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer, threads: .one) { client, _ in
      for code in Int32(1)...16 {
        let call = try await client.talk("EchoStream")
        try await call.send(PeerText("a"))
        #expect(try await call.responses.next()?.value == "a")
        try await call.send(PeerText("!\(code) nope"))
        let error = await call.responses.failure()
        #expect(error?.code.rawValue == code)
        #expect(error?.message == "nope")
        #expect(error?.details == [PeerService.detail(of: "nope")])
      }
      let parts = try await client.serverStreaming(
        PeerService.method("Divide"), PeerText("a,!5 no"), returning: PeerText.self,
        options: .init())
      #expect(try await parts.next()?.value == "a")
      #expect(await parts.failure()?.code == .notFound)
      let nothing = try await client.talk("Nope")
      #expect(await nothing.responses.failure()?.code == .unimplemented)
    }
  }

  @Test("hundreds of streams at once on one connection do not mix", arguments: all)
  func many(_ peer: TTRPCPeer) async throws {
    try await PeerServer.with(peer, threads: .one) { client, _ in
      let wrong = try await withThrowingTaskGroup(of: Bool.self) { group in
        for index in 0..<300 {
          group.addTask {
            let call = try await client.talk("EchoStream")
            for turn in 0..<10 {
              try await call.send(PeerText("\(index) \(turn)"))
              let echo = try await call.responses.next()?.value
              if echo != "\(index) \(turn)" { return true }
            }
            try await call.finishSending()
            return try await call.responses.next() != nil
          }
        }
        return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
      }
      #expect(wrong == 0)
    }
  }

  @Test("a deadline ends a stream here and its handler in Go")
  func deadline() async throws {
    try await PeerServer.with(.go) { client, _ in
      // On a busy machine a deadline may pass before the handler is reached.
      var timeout = Duration.milliseconds(25)
      try await eventually("the end of a handler", within: .seconds(120)) {
        timeout *= 2
        let error = await rpcFailure("a stream with a deadline") { [timeout] in
          let call = try await client.talk("Ignore", timeout: timeout)
          _ = try await call.responses.next()
        }
        #expect(error?.code == .deadlineExceeded)
        return try await client.ask("Woken") != "0"
      }
    }
  }

  // MARK: Their client, our server

  @Test("a peer's client streams with our server", arguments: all)
  func serverStreams(_ peer: TTRPCPeer) async throws {
    let why = "type.googleapis.com/google.protobuf.StringValue:0a036e6f70"
    let parts = (0..<300).map(String.init)
    let expected: [(line: String, answer: String)] = [
      ("collect\tSum", "ok 0 of 0"),
      ("collect\tSum\t\t1\t2\t\t3\t", "ok 6 of 6"),
      ("list\tDivide\ta,,b,", "a,,b, end"),
      ("list\tDivide\t", " end"),
      ("list\tDivide\t\(parts.joined(separator: ","))", "\(parts.joined(separator: ",")) end"),
      ("list\tDivide\ta,!5 nop", "a error 5 nop \(why)"),
      ("lockstep\tEchoStream\ta\t\tb", "a,,b end"),
      ("lockstep\tEchoStream\ta\t.", "a end"),
      ("lockstep\tEchoStream\ta\t!9 nop", "a error 9 nop \(why)"),
      ("burst\tEchoStream\ta\tb\tc", "a,b,c end"),
      ("list\tNope\t", " error 12 method Nope"),
      ("call\tEcho\tstill here\t0", "ok still here"),
    ]
    let service = PeerService()
    try await service.serve { socket in
      let answers = try await peer.carryOut(at: socket, threads: .one, expected.map(\.line))
      for (answer, expected) in zip(answers, expected) {
        #expect(answer == expected.answer, "\(expected.line)")
      }
      try await eventually("the handlers' ends", within: .seconds(120)) { service.isIdle }
    }
  }
}

extension RPCCaller {
  /// Opens a bidirectional stream of the peer's service.
  nonisolated(nonsending) func talk(
    _ name: String, timeout: Duration? = nil
  ) async throws(RPCError) -> RPCBidirectionalCall<PeerText, PeerText> {
    try await bidirectional(
      PeerService.method(name), sending: PeerText.self, returning: PeerText.self,
      options: RPCCallOptions(timeout: timeout))
  }

  nonisolated(nonsending) func divided(_ whole: String) async throws(RPCError) -> [String] {
    try await serverStreaming(
      PeerService.method("Divide"), PeerText(whole), returning: PeerText.self, options: .init()
    ).texts()
  }
}

extension RPCReader<PeerText> {
  /// Everything until the end.
  nonisolated(nonsending) func texts() async throws(RPCError) -> [String] {
    var texts: [String] = []
    while let message = try await next() { texts.append(message.value) }
    return texts
  }

  /// What ends the stream; a success is recorded.
  nonisolated(nonsending) func failure() async -> RPCError? {
    do throws(RPCError) {
      let rest = try await texts()
      Issue.record("the stream ended well, with \(rest)")
      return nil
    } catch {
      return error
    }
  }
}

extension Google_Protobuf_StringValue {
  func bytes() throws -> ByteBuffer { ByteBuffer(bytes: try serializedBytes() as [UInt8]) }
  init(bytes: ByteBuffer) throws { try self.init(serializedBytes: Array(bytes.readableBytesView)) }
}
