import Glibc
import NIOCore
import ProcessSupervision
import RPCCore
import SwiftProtobuf
import TTRPC
import Testing
import TransportCore
import UnixTransport

private typealias Text = Google_Protobuf_StringValue

/// Debian 12's Go ttrpc is 1.1.1, the generation before streaming.
@Suite(
  "ttrpc with the Go implementation at the other end", .goPeer("go-ttrpc"), .timeLimit(.minutes(5)))
struct TTRPCGoTests {
  private let connectors = TransportRegistry([UnixConnector()])

  private static func address(_ name: String) throws -> (String, TransportAddress) {
    let peer = try #require(GoPeer.current)
    let path = "\(peer.directory)/\(name)-\(UInt32.random(in: 0 ... .max))"
    return (path, TransportAddress(place: .unix(path: path)))
  }

  // MARK: Our client, their server

  /// Runs `body` with a client of a Go server, and with that server's process.
  private func withGoServer(
    _ body: @Sendable (TTRPCClient, ChildProcess) async throws -> Void
  ) async throws {
    let peer = try #require(GoPeer.current)
    let (path, address) = try Self.address("go")
    defer { unlink(path) }
    let server = try Command(peer.executable, arguments: ["serve", path]).spawn()
    let client = try await TTRPCClient.connect(
      to: address, using: connectors,
      options: ConnectOptions(timeout: .seconds(30), mode: .waitUntilReady()))
    do {
      try await body(client, server)
    } catch {
      server.signal(SIGKILL)
      throw error
    }
    await client.close()
    server.signal(SIGKILL)
    _ = try await server.wait()
  }

  private static func call(
    _ client: TTRPCClient, _ method: String, _ text: String = "",
    timeout: Duration? = .seconds(60), metadata: RPCMetadata = [:]
  ) async throws(RPCError) -> String {
    try await client.unary(
      RPCMethod(service: "t.S", name: method), Text.with { $0.value = text },
      returning: Text.self, options: RPCCallOptions(timeout: timeout, metadata: metadata)
    ).value
  }

  /// What a call fails with.
  private static func failure(
    _ client: TTRPCClient, _ method: String, _ text: String = "", timeout: Duration? = nil
  ) async -> RPCError? {
    do throws(RPCError) {
      let answer = try await call(client, method, text, timeout: timeout)
      Issue.record("\(method) answered \(answer.prefix(100))")
      return nil
    } catch {
      return error
    }
  }

  @Test("a Go server answers, sees our metadata and our deadline, and its errors arrive")
  func clientBasics() async throws {
    try await withGoServer { client, _ in
      #expect(try await Self.call(client, "Echo", "naïve ✓") == "naïve ✓")
      #expect(try await Self.call(client, "Echo") == "")
      let metadata: RPCMetadata = ["Key": "a", "key": "b", "other": "c"]
      #expect(try await Self.call(client, "Metadata", "key", metadata: metadata) == "a,b")
      let remaining = try await Self.call(client, "Remaining", timeout: .seconds(50))
      #expect((1...50_000).contains(try #require(Int(remaining))))
      #expect(try await Self.call(client, "Remaining", timeout: nil) == "none")

      let notFound = await Self.failure(client, "Fail", "no such thing")
      #expect(notFound?.code == .notFound)
      #expect(notFound?.message == "no such thing")
      #expect(notFound?.reason == .status)
      #expect(await Self.failure(client, "Nope")?.code == .unimplemented)
      let late = await Self.failure(client, "Hang", timeout: .milliseconds(50))
      #expect(late?.code == .deadlineExceeded)
      #expect(try await Self.call(client, "Echo", "still here") == "still here")
    }
  }

  @Test("each code of a Go server arrives with its text and its details")
  func clientErrors() async throws {
    try await withGoServer { client, _ in
      for code in Int32(1)...16 {
        let error = await Self.failure(client, "FailWith", "\(code) no such thing")
        #expect(error?.code.rawValue == code)
        #expect(error?.message == "no such thing")
        #expect(error?.details == [PeerService.detail(of: "no such thing")])
      }
      let echo = try await Self.call(client, "Echo", "still here")
      #expect(echo == "still here")
    }
  }

  @Test("a stream that a Go server without streams is asked for fails, and nothing else does")
  func clientStreams() async throws {
    try await withGoServer { client, _ in
      for kind in [RPCStreamKind.clientStreaming, .serverStreaming, .bidirectional] {
        let method = RPCMethod(service: "t.S", name: "Stream")
        let request = kind == .serverStreaming ? ByteBuffer() : nil
        let stream = try await client.open(method, kind: kind, request: request, options: .init())
        if kind != .serverStreaming {
          // It ignores what it does not know. Sending fails when its answer has come before.
          try? await stream.send(ByteBuffer(string: "x"))
          try await stream.finishSending()
        }
        let error = await rpcFailure("a stream") { _ = try await stream.next() }
        #expect(error?.code == .unimplemented)
        #expect(error?.message == "method Stream")
        #expect(try await Self.call(client, "Echo", "still here") == "still here")
      }
      // A unary method that is called as a stream answers once, and so ends it.
      let echo = RPCMethod(service: "t.S", name: "Echo")
      let texts = try await client.serverStreaming(
        echo, Text.with { $0.value = "hi" }, returning: Text.self, options: .init()
      ).texts()
      #expect(texts == ["hi"])
    }
  }

  @Test("4 MiB is the limit of both directions, and only the call above it fails")
  func clientEdges() async throws {
    try await withGoServer { client, _ in
      // An answer's envelope is status-less: 5 bytes for its payload, 5 for the text in it.
      let largest = (4 << 20) - 10
      let letters = try await Self.call(client, "Letters", "\(largest)")
      #expect(letters.utf8.count == largest)
      let tooLarge = await Self.failure(client, "Letters", "\(largest + 1)")
      #expect(tooLarge?.code == .resourceExhausted)
      #expect(tooLarge?.reason == .oversize)
      // A request has the names beside, 5 and 6 bytes.
      let text = String(repeating: "x", count: largest - 11)
      let sent = await Self.failure(client, "Echo", text + "x")
      #expect(sent?.reason == .oversize)
      let echoed = try await Self.call(client, "Echo", text, timeout: nil)
      #expect(echoed == text)
    }
  }

  @Test("ten thousand calls at once each get their own answer from a Go server")
  func clientMany() async throws {
    try await withGoServer { client, _ in
      let wrong = try await withThrowingTaskGroup(of: Bool.self) { group in
        for index in 0..<10_000 {
          group.addTask { try await Self.call(client, "Echo", "\(index)") != "\(index)" }
        }
        return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
      }
      #expect(wrong == 0)
    }
  }

  @Test("kill -9 of the Go server ends every waiting call, once")
  func serverKilled() async throws {
    try await withGoServer { client, server in
      await withTaskGroup(of: RPCError?.self) { group in
        for _ in 0..<100 { group.addTask { await Self.failure(client, "Hang") } }
        // Most are on their way by now; one that comes later must fail in the same way.
        _ = try? await Self.call(client, "Echo")
        server.signal(SIGKILL)
        for await error in group {
          #expect(error?.code == .unavailable)
          #expect(error?.reason == .connectionClosed)
        }
      }
      await client.waitUntilClosed()
      #expect(!client.isConnected)
    }
  }

  @Test("a ping finds a Go server ready, and leaves it as it was")
  func ping() async throws {
    let peer = try #require(GoPeer.current)
    let (path, address) = try Self.address("ping")
    defer { unlink(path) }
    let options = ConnectOptions(timeout: .seconds(30), mode: .waitUntilReady())
    async let waiting = connectors.waitUntilReady(
      at: address, probe: .ttrpcPing, options: options)
    let server = try Command(peer.executable, arguments: ["serve", path]).spawn()
    do {
      let readiness = try await waiting
      #expect(readiness.timings.last?.phase == .probe)
      #expect(readiness.peer.unix != nil)
      #expect(try await peer.run("call", path, "Echo", "hi", "60s") == "ok hi")
    } catch {
      server.signal(SIGKILL)
      throw error
    }
    server.signal(SIGKILL)
    _ = try await server.wait()
  }

  // MARK: Their client, our server

  /// Runs `body` with the path of a server of ours.
  private func withOurServer(
    hanging: @escaping @Sendable (String) -> Void = { _ in },
    _ body: @Sendable (GoPeer, String) async throws -> Void
  ) async throws {
    let peer = try #require(GoPeer.current)
    let (path, address) = try Self.address("ours")
    var server = TTRPCServer()
    server.register(RPCMethod(service: "t.S", name: "Echo")) { (text: Text, _) in text }
    server.register(RPCMethod(service: "t.S", name: "Metadata")) { (key: Text, context) in
      Text.with { $0.value = context.metadata.values(for: key.value).joined(separator: ",") }
    }
    server.register(RPCMethod(service: "t.S", name: "Remaining")) { (_: Text, context) in
      Text.with { $0.value = "\(context.timeout?.components.seconds ?? -1)" }
    }
    server.register(RPCMethod(service: "t.S", name: "Fail")) { (text: Text, _) -> Text in
      throw RPCError(code: .notFound, message: text.value)
    }
    server.register(RPCMethod(service: "t.S", name: "FailWith")) { (what: Text, _) -> Text in
      throw PeerService.failure(what.value)
    }
    server.registerBidirectional(RPCMethod(service: "t.S", name: "Stream")) {
      (texts: RPCReader<Text>, answers: RPCWriter<Text>, _) in
      for try await text in texts { try await answers.send(text) }
    }
    server.register(RPCMethod(service: "t.S", name: "Letters")) { (size: Text, _) in
      Text.with { $0.value = String(repeating: "x", count: Int(size.value) ?? 0) }
    }
    server.register(RPCMethod(service: "t.S", name: "Hang")) { (text: Text, _) in
      hanging("began")
      do {
        try await Task.sleep(for: .seconds(600))
      } catch {
        hanging("was cancelled")
        throw error
      }
      return text
    }
    let listener = try UnixListener(bindingTo: address)
    try await withThrowingTaskGroup(of: Void.self) { [server] group in
      group.addTask { try await server.run(on: listener) }
      try await body(peer, path)
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  @Test("a Go client is answered, its metadata and deadline are seen, and our errors arrive")
  func serverBasics() async throws {
    try await withOurServer { peer, path in
      #expect(try await peer.run("call", path, "Echo", "naïve ✓", "60s") == "ok naïve ✓")
      #expect(try await peer.run("call", path, "Echo", "", "60s") == "ok ")
      #expect(
        try await peer.run("call", path, "Metadata", "key", "60s", "Key=a", "key=b", "other=c")
          == "ok a,b")
      let remaining = try await peer.run("call", path, "Remaining", "", "50s")
      #expect(["ok 49", "ok 50"].contains(remaining))
      #expect(try await peer.run("call", path, "Fail", "nope", "60s") == "error 5 nope")
      #expect(try await peer.run("call", path, "Nope", "", "60s") == "error 12 method Nope")
      let late = try await peer.run("call", path, "Hang", "", "50ms")
      #expect(late.contains("context deadline exceeded"))
    }
  }

  @Test("each of our codes reaches a Go client with its text and its details")
  func serverErrors() async throws {
    try await withOurServer { peer, path in
      for code in 1...16 {
        let answer = try await peer.run("call", path, "FailWith", "\(code) no", "60s")
        #expect(
          answer
            == "error \(code) no type.googleapis.com/google.protobuf.StringValue:0a026e6f")
      }
    }
  }

  @Test("a Go client without streams that calls a stream of ours fails, and our server goes on")
  func serverStreams() async throws {
    try await withOurServer { peer, path in
      let answer = try await peer.run("call", path, "Stream", "hi", "60s")
      #expect(answer == "error 2 unknown message type received")
      #expect(try await peer.run("call", path, "Echo", "hi", "60s") == "ok hi")
    }
  }

  @Test("a Go client's 4 MiB are taken; a byte more is refused, and so is such an answer")
  func serverEdges() async throws {
    try await withOurServer { peer, path in
      let largest = (4 << 20) - 10
      #expect(
        try await peer.run("call", path, "Letters", "\(largest)", "60s") == "ok size:\(largest)")
      #expect(
        try await peer.run("call", path, "Letters", "\(largest + 1)", "60s")
          == "error 8 message length 4194305 exceed maximum message size of 4194304")
      let refused = try await peer.run("call", path, "Echo", "size:\(4 << 20)", "60s")
      #expect(refused.hasPrefix("error 8 message length 41943"))
    }
  }

  @Test("ten thousand calls at once each get their own answer from our server")
  func serverMany() async throws {
    try await withOurServer { peer, path in
      let line = try await peer.run("many", path, "10000")
      #expect(line == "ok 10000")
    }
  }

  @Test("kill -9 of a Go client cancels the handler of its call")
  func clientKilled() async throws {
    let (events, event) = AsyncStream.makeStream(of: String.self)
    let note: @Sendable (String) -> Void = { event.yield($0) }
    try await withOurServer(hanging: note) { peer, path in
      let client = try Command(
        peer.executable, arguments: ["call", path, "Hang", "", "600s"]
      ).spawn()
      var seen = events.makeAsyncIterator()
      #expect(await seen.next() == "began")
      client.signal(SIGKILL)
      _ = try await client.wait()
      #expect(await seen.next() == "was cancelled")
    }
  }
}
