import NIOCore
import RPCCore
import SwiftProtobuf
import Testing

@testable import TTRPC

@Suite("The server's streams, against a scripted client", .timeLimit(.minutes(5)))
struct ServerStreamTests {
  /// t.S with the methods that the vectors were taken with, on strings.
  static func server(
    _ tally: Tally = Tally(), _ configuration: TTRPCServer.Configuration = .init(),
    execution: RPCExecution = .pool
  ) -> TTRPCServer {
    var server = ServerTests.server(tally, configuration: configuration, execution: execution)
    func method(_ name: String) -> RPCMethod { RPCMethod(service: "t.S", name: name) }
    server.registerBidirectional(method("Bidi"), execution: execution) {
      (texts: RPCReader<Text>, out: RPCWriter<Text>, _) in
      for try await text in texts { try await out.send(text) }
    }
    server.registerServerStreaming(method("Srv"), execution: execution) {
      (text: Text, out: RPCWriter<Text>, _) in
      if text.value == "fail" { throw RPCError(code: .notFound, message: "nope") }
      try await out.send(text)
      try await out.send(Text())
    }
    server.registerClientStreaming(method("Cli"), execution: execution) {
      (texts: RPCReader<Text>, _) -> Text in
      var all = Text()
      for try await text in texts { all.value += text.value }
      return all
    }
    server.registerBidirectional(method("Mute"), execution: execution) {
      (_: RPCReader<Text>, _: RPCWriter<Text>, _) in
      await tally.note("began")
      do {
        try await Task.sleep(for: .seconds(600))
      } catch {
        await tally.note("cancelled")
        throw error
      }
    }
    server.registerBidirectional(method("Return"), execution: execution) {
      (texts: RPCReader<Text>, _: RPCWriter<Text>, _) in _ = try await texts.next()
    }
    return server
  }

  private func peer(
    _ tally: Tally = Tally(), _ configuration: TTRPCServer.Configuration = .init(),
    execution: RPCExecution = .pool
  ) async throws -> RawPeer {
    let server = Self.server(tally, configuration, execution: execution)
    return try await RawPeer.pair { try server.configure($0) }.0
  }

  private func open(
    _ id: UInt32, _ name: String, flags: UInt8 = 2, _ payload: [UInt8] = []
  ) -> [UInt8] { frame(1, id, request("t.S", name, payload), flags: flags) }

  private func refused(_ id: UInt32, _ text: String, code: UInt8 = 3) -> [UInt8] {
    frame(2, id, field(1, [8, code] + field(2, Array(text.utf8))))
  }

  static let x = hex("0a0178")
  static let closed = "data handling error: ttrpc: stream closed"
  static let inactive = "StreamID is no longer active"

  @Test(
    "a conversation with Go's client, byte for byte (9.1)",
    arguments: [RPCExecution.pool, .eventLoop])
  func goConversation(_ execution: RPCExecution) async throws {
    let peer = try await peer(execution: execution)
    for (sent, answers) in [
      ("0000000b 00000003 01 02 0a03742e53 120442696469", []),
      ("00000003 00000003 03 00 0a0178", ["00000003 00000003 03 00 0a0178"]),
      ("00000000 00000003 03 05", ["00000000 00000003 03 05"]),
      (
        "0000000f 00000005 01 01 0a03742e53 1203537276 1a030a0171",
        [
          "00000003 00000005 03 00 0a0171", "00000000 00000005 03 00", "00000000 00000005 03 05",
        ]
      ),
      ("0000000a 00000007 01 02 0a03742e53 1203436c69", []),
      ("00000003 00000007 03 00 0a0178", []),
      ("00000000 00000007 03 05", ["00000005 00000007 02 00 12030a0178"]),
      (
        "00000012 00000009 01 01 0a03742e53 1203537276 1a060a046661696c",
        ["0000000a 00000009 02 00 0a080805 12046e6f7065"]
      ),
    ] as [(String, [String])] {
      try await peer.write(hex(sent))
      for answer in answers { #expect(try await peer.bytes() == hex(answer)) }
    }
    try await peer.close()
  }

  @Test("a stream is the same whatever its request's flags are", arguments: [0, 2, 6] as [UInt8])
  func flags(_ flags: UInt8) async throws {
    let peer = try await peer()
    try await peer.write(open(1, "Bidi", flags: flags) + frame(3, 1, Self.x))
    #expect(try await peer.bytes() == frame(3, 1, Self.x))
    try await peer.write(frame(3, 1, flags: 5))
    #expect(try await peer.bytes() == frame(3, 1, flags: 5))
    try await peer.close()
  }

  @Test("a payload in the request is the first message, unless the flags say that there is none")
  func payloadInOpen() async throws {
    let peer = try await peer()
    try await peer.write(open(1, "Bidi", Self.x))
    #expect(try await peer.bytes() == frame(3, 1, Self.x))
    try await peer.write(open(3, "Cli", Self.x) + frame(3, 3, Self.x) + frame(3, 3, flags: 5))
    #expect(try await peer.bytes() == frame(2, 3, field(2, hex("0a027878"))))
    try await peer.write(open(5, "Bidi", flags: 6, Self.x) + frame(3, 5, flags: 5))
    #expect(try await peer.bytes() == frame(3, 5, flags: 5))
    // With one request it is the request, also when it is empty.
    try await peer.write(open(7, "Srv", flags: 1))
    for flags in [0, 0, 5] as [UInt8] {
      #expect(try await peer.bytes() == frame(3, 7, flags: flags))
    }
    try await peer.close()
  }

  @Test("a last message together with the end is delivered, and then the end")
  func dataAndEnd() async throws {
    let peer = try await peer()
    try await peer.write(open(1, "Bidi") + frame(3, 1, Self.x, flags: 1))
    #expect(try await peer.bytes() == frame(3, 1, Self.x))
    #expect(try await peer.bytes() == frame(3, 1, flags: 5))
    try await peer.close()
  }

  @Test("data behind the end is answered with Go's error, and then the call's own answer comes")
  func dataAfterEnd() async throws {
    let tally = Tally()
    let gate = Gate()
    var server = Self.server(tally)
    server.registerClientStreaming(RPCMethod(service: "t.S", name: "Late")) {
      (texts: RPCReader<Text>, _) -> Text in
      var all = Text()
      for try await text in texts { all.value += text.value }
      await gate.wait()
      return all
    }
    let (peer, _) = try await RawPeer.pair { [server] in try server.configure($0) }
    try await peer.write(
      open(1, "Late") + frame(3, 1, Self.x) + frame(3, 1, flags: 5) + frame(3, 1, Self.x))
    #expect(try await peer.bytes() == refused(1, Self.closed))
    await gate.open()
    #expect(try await peer.bytes() == frame(2, 1, field(2, Self.x)))
    try await peer.close()
  }

  @Test("a second end is ignored, and so is a payload that the flags deny")
  func ignored() async throws {
    let peer = try await peer()
    try await peer.write(
      open(1, "Bidi") + frame(3, 1, Self.x, flags: 4) + frame(3, 1, flags: 4)
        + frame(3, 1, flags: 5) + frame(3, 1, flags: 5))
    #expect(try await peer.bytes() == frame(3, 1, flags: 5))
    try await peer.write(open(3, "Bidi") + frame(3, 3, Self.x))
    #expect(try await peer.bytes() == frame(3, 3, Self.x))
    try await peer.close()
  }

  @Test("data for a stream whose handler has returned is answered behind its end (V16)")
  func dataAfterReturn() async throws {
    let peer = try await peer()
    try await peer.write(open(1, "Return") + frame(3, 1, Self.x))
    #expect(try await peer.bytes() == frame(3, 1, flags: 5))
    try await peer.write(frame(3, 1, Self.x))
    #expect(try await peer.bytes() == Vector.dataOnUnknownStream)
    try await peer.close()
  }

  @Test("data for a method with one request is answered with an error; its end is ignored")
  func dataForOneRequest() async throws {
    let tally = Tally()
    let gate = Gate()
    var server = Self.server(tally)
    server.registerServerStreaming(RPCMethod(service: "t.S", name: "Slow")) {
      (text: Text, out: RPCWriter<Text>, _) in
      await gate.wait()
      try await out.send(text)
    }
    let (peer, _) = try await RawPeer.pair { [server] in try server.configure($0) }
    try await peer.write(
      open(1, "Slow", flags: 1, Self.x) + frame(3, 1, flags: 5) + frame(3, 1, Self.x))
    #expect(try await peer.bytes() == refused(1, Self.closed))
    await gate.open()
    #expect(try await peer.bytes() == frame(3, 1, Self.x))
    #expect(try await peer.bytes() == frame(3, 1, flags: 5))
    try await peer.close()
  }

  @Test("data that is no message fails the call, in Go's words or ours")
  func unreadable() async throws {
    let peer = try await peer()
    try await peer.write(open(1, "Bidi") + frame(3, 1, hex("ffff")))
    let (id, response) = try await peer.response()
    #expect(id == 1 && response.code == .internal)
    try await peer.write(open(3, "Srv", flags: 1, hex("ffff")))
    let (next, other) = try await peer.response()
    #expect(next == 3 && other.code == .internal)
    #expect(other.message.hasPrefix("ttrpc: error unmarshalling payload: "))
    try await peer.close()
  }

  @Test("data too large fails its stream and no other")
  func oversize() async throws {
    let tally = Tally()
    let peer = try await peer(tally)
    let large = [UInt8](repeating: 0, count: FrameHeader.maximumLength + 1)
    try await peer.write(open(1, "Mute") + open(3, "Bidi"))
    try await peer.write(frame(3, 1, large) + frame(3, 3, Self.x))
    let refusal = try await peer.bytes()
    #expect(refusal.dropFirst(10) == Vector.oversizeRefused.dropFirst(10))
    #expect(try await peer.bytes() == frame(3, 3, Self.x))
    try await eventually { await tally.notes.last == "cancelled" }
    try await peer.close()
  }

  @Test("a handler that sends too large a message gets the error, and may go on")
  func oversizeSent() async throws {
    var server = TTRPCServer()
    server.register(
      RPCMethod(service: "t.S", name: "Large"), kind: .bidirectional, execution: .pool
    ) { stream, _ in
      let error = try await failure {
        try await stream.send(ByteBuffer(repeating: 0, count: FrameHeader.maximumLength + 1))
      }
      try await stream.send(ByteBuffer(string: "\(error.reason)"))
      return nil
    }
    let (peer, _) = try await RawPeer.pair { [server] in try server.configure($0) }
    try await peer.write(open(1, "Large"))
    #expect(try await peer.bytes() == frame(3, 1, Array("oversize".utf8)))
    #expect(try await peer.bytes() == frame(3, 1, flags: 5))
    try await peer.close()
  }

  @Test("a deadline cancels the handler and is answered 4")
  func deadline() async throws {
    let tally = Tally()
    let peer = try await peer(tally)
    try await peer.write(frame(1, 1, request("t.S", "Mute") + hex("20 80dac409"), flags: 2))
    #expect(try await peer.bytes() == Vector.deadlineExceeded)
    try await eventually { await tally.notes == ["began", "cancelled"] }
    try await peer.write(frame(1, 3, request("t.S", "Mute") + hex("20 ffffffffffffffffff01")))
    #expect(try await peer.bytes() == refused(3, "context deadline exceeded", code: 4))
    try await peer.close()
  }

  @Test("the loss of the connection cancels the handlers, and ends their streams")
  func connectionLoss() async throws {
    let tally = Tally()
    var server = Self.server(tally)
    server.register(
      RPCMethod(service: "t.S", name: "Wait"), kind: .bidirectional, execution: .pool
    ) { stream, _ in
      await tally.note("began")
      // A task that nobody cancels: the stream itself tells it.
      let waiting = Task { try await failure { try await stream.next() } }
      await tally.note("\(try await waiting.value.code)")
      return nil
    }
    let (peer, _) = try await RawPeer.pair { [server] in try server.configure($0) }
    try await peer.write(open(1, "Wait") + open(3, "Mute"))
    try await eventually { await tally.count == 2 }
    try await peer.close()
    try await eventually { await tally.count == 4 }
    #expect(Set(await tally.notes) == ["began", "cancelled", "Canceled"])
  }

  @Test("more streams than a connection may have are answered 8; it may when others have ended")
  func streamLimit() async throws {
    let tally = Tally()
    let peer = try await peer(tally, .init(maximumStreams: 2))
    try await peer.write(open(1, "Bidi") + open(3, "Mute") + open(5, "Bidi"))
    let text = "this connection has 2 streams open, and may not have more"
    #expect(try await peer.bytes() == refused(5, text, code: 8))
    // Unary calls do not count.
    try await peer.write(frame(1, 7, request("t.S", "Echo", Self.x)))
    #expect(try await peer.bytes() == frame(2, 7, field(2, Self.x)))
    try await peer.write(frame(3, 1, flags: 5))
    #expect(try await peer.bytes() == frame(3, 1, flags: 5))
    try await peer.write(open(9, "Bidi") + frame(3, 9, flags: 5))
    #expect(try await peer.bytes() == frame(3, 9, flags: 5))
    try await peer.close()
  }

  @Test("handlers' messages come in order, behind them the end, to a peer that reads late")
  func lateReader() async throws {
    for execution in [RPCExecution.pool, .eventLoop] {
      let server = StreamService.server(execution: execution)
      let (peer, _) = try await RawPeer.pair { try server.configure($0) }
      try await peer.channel.setOption(.autoRead, value: false).get()
      let limit: [UInt8] = try Number(20_000).serializedBytes()
      try await peer.write(frame(1, 1, request("t.S", "Count", limit), flags: 1))
      for _ in 0..<50 { await Task.yield() }
      try await peer.channel.setOption(.autoRead, value: true).get()
      var wrong = 0
      for value in 0..<20_000 as Range<Int64> {
        let sent = try #require(await peer.frame())
        if sent.data != (try Number(value).serializedBytes()) { wrong += 1 }
      }
      #expect(wrong == 0)
      #expect(try await peer.bytes() == frame(3, 1, flags: 5))
      try await peer.close()
    }
  }
}
