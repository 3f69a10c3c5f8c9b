import NIOCore
import RPCCore
import SwiftProtobuf
import Testing
import TransportCore

@testable import TTRPC

@Suite("The server, against a scripted client", .timeLimit(.minutes(2)))
struct ServerTests {
  static let limit = FrameHeader.maximumLength

  /// t.S with methods that do what their names say.
  static func server(
    _ tally: Tally = Tally(), configuration: TTRPCServer.Configuration = .init(),
    execution: RPCExecution = .pool
  ) -> TTRPCServer {
    var server = TTRPCServer(configuration: configuration)
    server.register(RPCMethod(service: "t.S", name: "Echo"), execution: execution) {
      (text: Text, _) in text
    }
    server.register(RPCMethod(service: "t.S", name: "Hang"), execution: execution) {
      (text: Text, _) in
      await tally.note("began")
      do {
        try await Task.sleep(for: .seconds(600))
      } catch {
        await tally.note("cancelled")
        throw error
      }
      return text
    }
    server.register(RPCMethod(service: "t.S", name: "Large")) {
      (count: Google_Protobuf_Int64Value, _) in
      Google_Protobuf_BytesValue.with {
        $0.value.append(contentsOf: Array(repeating: 1, count: Int(count.value)))
      }
    }
    server.register(RPCMethod(service: "t.S", name: "Fail")) { (text: Text, _) -> Text in
      switch text.value {
      case "status":
        throw RPCError(
          code: .notFound, message: "nope", details: [.init(typeURL: "u", value: [1])])
      case "ok": throw RPCError(code: .ok, message: "not really")
      case "cancel": throw CancellationError()
      case "huge":
        throw RPCError(code: .aborted, message: String(repeating: "x", count: limit))
      default: throw SomeError()
      }
    }
    server.register(RPCMethod(service: "t.S", name: "Context"), execution: .pool) {
      (_: ByteBuffer, context: RPCServerContext) -> ByteBuffer in
      var out = ByteBuffer()
      let seconds = context.timeout.map { $0.components.seconds }
      out.writeString(
        "\(context.method) \(context.metadata.values(for: "K")) \(seconds ?? -1) \(context.peer)")
      return out
    }
    return server
  }

  struct SomeError: Error, CustomStringConvertible { var description: String { "it broke" } }

  private func peer(
    _ tally: Tally = Tally(), configuration: TTRPCServer.Configuration = .init(),
    execution: RPCExecution = .pool
  ) async throws -> RawPeer {
    let server = Self.server(tally, configuration: configuration, execution: execution)
    return try await RawPeer.pair { try server.configure($0) }.0
  }

  private func echo(_ id: UInt32, _ value: String = "a") throws -> [UInt8] {
    let payload: [UInt8] = try Text.with { $0.value = value }.serializedBytes()
    return frame(1, id, request("t.S", "Echo", payload))
  }

  /// The next Response as "id code text-or-payload".
  private func answer(_ peer: RawPeer) async throws -> String {
    let (id, response) = try await peer.response()
    let payload = response.code == .ok ? try Text(decoding: response.payload).value : ""
    return "\(id) \(response.code.rawValue) \(response.message)\(payload)"
  }

  static let odd = "StreamID must be odd for client initiated streams"
  static let used = "StreamID cannot be re-used and must increment"
  static let inactive = "StreamID is no longer active"

  @Test(
    "a request is answered as Go answers it", arguments: [RPCExecution.pool, .eventLoop])
  func echo(_ execution: RPCExecution) async throws {
    let peer = try await peer(execution: execution)
    try await peer.write(frame(1, 1, request("t.S", "Echo", hex("0a0161"))))
    #expect(try #require(await peer.frame()) == .init(type: 2, id: 1, data: hex("12030a0161")))
    try await peer.write(frame(1, 3, request("t.S", "Echo")))
    #expect(try #require(await peer.frame()) == .init(type: 2, id: 3, data: []))
    try await peer.close()
  }

  @Test("ids must be odd and grow, and a bad one is answered on itself")
  func ids() async throws {
    let peer = try await peer()
    for (id, expected) in [
      (2, "2 3 \(Self.odd)"), (0, "0 3 \(Self.odd)"), (5, "5 0 a"), (5, "5 3 \(Self.used)"),
      (3, "3 3 \(Self.used)"), (.max, "4294967295 0 a"), (7, "7 3 \(Self.used)"),
    ] as [(UInt32, String)] {
      try await peer.write(try echo(id))
      #expect(try await answer(peer) == expected)
    }
    try await peer.close()
  }

  @Test("the answers to bad ids and to stray data are Go's, byte for byte")
  func vectors() async throws {
    let peer = try await peer()
    func next() async throws -> [UInt8] {
      let answer = try #require(await peer.frame())
      return frame(answer.type, answer.id, answer.data)
    }
    try await peer.write(frame(3, 1, hex("0a0161")))
    #expect(try await next() == Vector.dataOnUnknownStream)
    try await peer.write(try echo(2))
    #expect(try await next() == Vector.evenID)
    try await peer.write(try echo(5) + echo(5))
    #expect(Set([try await next(), try await next()]).contains(Vector.reusedID))
    try await peer.write(frame(1, 7, request("containerd.task.v2.Task", "Connect")))
    let unknown = try await next()
    #expect(unknown.dropFirst(8) == Vector.unknownServiceGo.dropFirst(8))
    try await peer.close()
  }

  @Test("frames that mean nothing to a server are skipped")
  func skipped() async throws {
    let peer = try await peer()
    try await peer.write(Vector.unknownType + Vector.okGo + frame(0, 9) + (try echo(1)))
    #expect(try await answer(peer) == "1 0 a")
    try await peer.close()
  }

  @Test("unknown services and methods are Unimplemented, with Go's words")
  func unimplemented() async throws {
    let peer = try await peer()
    try await peer.write(frame(1, 1, request("t.T", "Echo")))
    #expect(try await answer(peer) == "1 12 service t.T")
    try await peer.write(frame(1, 3, request("t.S", "Nope")))
    #expect(try await answer(peer) == "3 12 method Nope")
    try await peer.write(frame(1, 5))
    #expect(try await answer(peer) == "5 12 service ")
    // Names that run together are not the same names.
    try await peer.write(frame(1, 7, request("t.SE", "cho")))
    #expect(try await answer(peer) == "7 12 service t.SE")
    try await peer.close()
  }

  @Test("an envelope or a message that cannot be read ends only its call, and uses up its id")
  func unreadable() async throws {
    let peer = try await peer()
    try await peer.write(frame(1, 1, hex("ffffff")))
    #expect(try await answer(peer).hasPrefix("1 3 unmarshal request error: "))
    try await peer.write(try echo(1))
    #expect(try await answer(peer) == "1 3 \(Self.used)")
    try await peer.write(frame(1, 3, request("t.S", "Echo", hex("ffff"))))
    #expect(try await answer(peer).hasPrefix("3 13 ttrpc: error unmarshalling payload: "))
    try await peer.write(try echo(5))
    #expect(try await answer(peer) == "5 0 a")
    try await peer.close()
  }

  @Test(
    "what a handler throws is its call's answer",
    arguments: [
      ("status", "1 5 nope"), ("ok", "1 2 not really"), ("cancel", "1 1 context canceled"),
      ("other", "1 2 it broke"),
      ("huge", "1 8 message length 4194316 exceed maximum message size of 4194304"),
    ])
  func handlerErrors(_ kind: String, _ expected: String) async throws {
    let peer = try await peer()
    let payload: [UInt8] = try Text.with { $0.value = kind }.serializedBytes()
    try await peer.write(frame(1, 1, request("t.S", "Fail", payload)))
    let (id, response) = try await peer.response()
    #expect("\(id) \(response.code.rawValue) \(response.message)" == expected)
    #expect(response.details.count == (kind == "status" ? 1 : 0))
    try await peer.close()
  }

  @Test("a request above the limit is drained and refused; one at the limit is served")
  func oversize() async throws {
    let peer = try await peer()
    try await peer.write(
      frame(1, 1, [UInt8](repeating: 0, count: Self.limit + 1)) + (try echo(3)))
    let refused = try #require(await peer.frame())
    #expect(frame(refused.type, refused.id, refused.data) == Vector.oversizeRefused)
    #expect(try await answer(peer) == "3 0 a")
    let head = request("t.S", "Echo").count + 1 + 4
    let text = String(repeating: "x", count: Self.limit - head - 5)
    let largest = try echo(5, text)
    #expect(largest.count == FrameHeader.size + Self.limit)
    try await peer.write(largest)
    #expect(try await answer(peer) == "5 0 \(text)")
    try await peer.close()
  }

  @Test("an answer above the limit fails its call; the others and the connection live")
  func oversizeAnswer() async throws {
    let peer = try await peer()
    let payload: [UInt8] = try Google_Protobuf_Int64Value.with { $0.value = 5 << 20 }
      .serializedBytes()
    try await peer.write(frame(1, 1, request("t.S", "Large", payload)) + (try echo(3)))
    let answers = [try await answer(peer), try await answer(peer)].sorted()
    #expect(answers[0].hasPrefix("1 8 message length 52428"))
    #expect(answers[1] == "3 0 a")
    try await peer.close()
  }

  @Test("a deadline on the wire cancels the handler and is answered 4")
  func deadline() async throws {
    let tally = Tally()
    let peer = try await peer(tally)
    let millisecond20 = hex("20 80dac409")
    try await peer.write(frame(1, 1, request("t.S", "Hang") + millisecond20))
    let answer = try #require(await peer.frame())
    #expect(frame(answer.type, answer.id, answer.data) == Vector.deadlineExceeded)
    try await eventually { await tally.notes.last == "cancelled" }
    // -1 ns: the caller has given up already.
    try await peer.write(frame(1, 3, request("t.S", "Hang") + hex("20 ffffffffffffffffff01")))
    #expect(try await self.answer(peer) == "3 4 context deadline exceeded")
    try await peer.write(try echo(5))
    #expect(try await self.answer(peer) == "5 0 a")
    try await peer.close()
  }

  @Test("data on a unary call under way ends that call; the server stays up")
  func dataOnUnary() async throws {
    let tally = Tally()
    let peer = try await peer(tally)
    try await peer.write(frame(1, 1, request("t.S", "Hang")) + frame(3, 1, [1]) + (try echo(3)))
    #expect(try await answer(peer) == "1 3 \(Self.inactive)")
    #expect(try await answer(peer) == "3 0 a")
    try await eventually { await tally.notes.last == "cancelled" }
    try await peer.close()
  }

  @Test("the loss of the connection cancels its handlers")
  func connectionLoss() async throws {
    let tally = Tally()
    let peer = try await peer(tally)
    for id in 0..<20 { try await peer.write(frame(1, UInt32(2 * id + 1), request("t.S", "Hang"))) }
    try await eventually { await tally.count == 20 }
    try await peer.close()
    try await eventually { await tally.notes.filter { $0 == "cancelled" }.count == 20 }
  }

  @Test("a handler knows its method, metadata, timeout and peer")
  func context() async throws {
    let server = Self.server()
    let identity = PeerIdentity(unix: .init(pid: 7, uid: 8, gid: 9))
    let (peer, _) = try await RawPeer.pair { try server.configure($0, peer: identity) }
    let metadata = field(5, field(1, Array("k".utf8)) + field(2, Array("v".utf8)))
    try await peer.write(
      frame(1, 1, request("t.S", "Context") + hex("20 80c8afa025") + metadata + metadata))
    let (_, response) = try await peer.response()
    #expect(String(buffer: response.payload) == "t.S/Context [\"v\", \"v\"] 10 \(identity)")
    try await peer.close()
  }

  @Test("a request that comes byte by byte is served")
  func byteByByte() async throws {
    let peer = try await peer()
    for byte in try echo(1) { try await peer.write([byte]) }
    #expect(try await answer(peer) == "1 0 a")
    try await peer.close()
  }

  @Test("no more handlers run than the connection may have, and all requests are served in the end")
  func inFlightLimit() async throws {
    let tally = Tally()
    let gate = Gate()
    var server = TTRPCServer(configuration: .init(maximumInFlight: 4))
    server.register(RPCMethod(service: "t.S", name: "Echo")) { (text: Text, _) in
      await tally.note("began")
      await gate.wait()
      return text
    }
    let (peer, _) = try await RawPeer.pair { [server] in try server.configure($0) }
    var flood: [UInt8] = []
    for id in 0..<100 { flood += try echo(UInt32(2 * id + 1)) }
    try await peer.write(flood)
    try await eventually { await tally.count == 4 }
    for _ in 0..<50 { await Task.yield() }
    #expect(await tally.count == 4)
    await gate.open()
    var ids: Set<String> = []
    for _ in 0..<100 { ids.insert(try await answer(peer)) }
    #expect(ids.count == 100)
    try await peer.close()
  }

  @Test("a peer that floods and never reads does not get more work done than its answers may fill")
  func neverReads() async throws {
    let tally = Tally()
    var server = TTRPCServer()
    server.register(RPCMethod(service: "t.S", name: "Echo")) { (text: Text, _) in
      await tally.note("")
      return text
    }
    let (peer, _) = try await RawPeer.pair { [server] in try server.configure($0) }
    try await peer.channel.setOption(.autoRead, value: false).get()
    let text = String(repeating: "x", count: 64 << 10)
    var flood: [[UInt8]] = []
    for id in 0..<2_000 { flood.append(try echo(UInt32(2 * id + 1), text)) }
    let writer = Task { [channel = peer.channel, flood] in
      for request in flood { try await channel.writeAndFlush(buffer(request)) }
    }
    // Once the server stops reading, the writer gets stuck and the count stands still.
    var last = -1
    while await tally.count != last {
      last = await tally.count
      try await Task.sleep(for: .milliseconds(100))
    }
    #expect(last < 1_000)
    try await peer.close()
    _ = await writer.result
  }

  @Test("random bytes never bring the server down", arguments: 1...50 as ClosedRange<UInt64>)
  func hostile(_ seed: UInt64) async throws {
    var random = SeededGenerator(seed: seed)
    let peer = try await peer()
    var flood: [UInt8] = []
    for id in 0..<200 {
      var data = try echo(UInt32(id), "abc")
      for _ in 0..<Int.random(in: 0...4, using: &random) {
        // Lengths stay as they are, so that the frames keep coming.
        data[Int.random(in: 4..<data.count, using: &random)] = UInt8(
          truncatingIfNeeded: random.next())
      }
      flood += data
    }
    try await peer.write(flood)
    try await peer.write(try echo(.max, "end"))
    while let frame = await peer.frame() {
      let answer = try ResponseEnvelope(decoding: buffer(frame.data))
      if frame.id == .max, answer.code == .ok || answer.message == Self.used { break }
    }
    try await peer.close()
  }
}

/// Holds tasks back until it is opened.
actor Gate {
  private var isOpen = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  func wait() async {
    if isOpen { return }
    await withCheckedContinuation { waiting.append($0) }
  }

  func open() {
    isOpen = true
    for waiter in waiting { waiter.resume() }
    waiting = []
  }
}
