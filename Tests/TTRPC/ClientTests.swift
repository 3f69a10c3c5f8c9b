import NIOCore
import RPCCore
import SwiftProtobuf
import Testing

@testable import TTRPC

@Suite("The client, against a scripted server", .timeLimit(.minutes(2)))
struct ClientTests {
  static let echo = RPCMethod(service: "t.S", name: "Echo")

  private func text(_ value: String) -> Text { Text.with { $0.value = value } }

  private func ok(_ id: UInt32, _ value: String) throws -> [UInt8] {
    frame(2, id, field(2, try text(value).serializedBytes()))
  }

  private func call(
    _ client: TTRPCClient, _ value: String = "a", timeout: Duration? = nil
  ) async throws -> String {
    try await client.unary(
      Self.echo, text(value), returning: Text.self, options: RPCCallOptions(timeout: timeout)
    ).value
  }

  @Test("a call is one Request frame on stream 1, and its Response is the result")
  func oneCall() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    async let answer = call(client)
    let sent = try #require(await peer.frame())
    #expect(sent == .init(type: 1, id: 1, data: request("t.S", "Echo", hex("0a0161"))))
    try await peer.write(Vector.okGo)
    #expect(try await answer == "a")
    #expect(await client.pendingCalls == 0)
    await client.close()
  }

  @Test(
    "every form of success is one",
    arguments: [Vector.okGo, Vector.okRust, Vector.okEmptyGo, Vector.okEmptyRust])
  func successes(_ vector: [UInt8]) async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    async let answer = call(client)
    _ = try await peer.request()
    try await peer.write(vector)
    #expect(["a", ""].contains(try await answer))
    await client.close()
  }

  @Test("a status is an error with its code, its text and its details")
  func status() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    async let failed = failure { try await call(client) }
    _ = try await peer.request()
    let detail = field(1, Array("type.googleapis.com/x.Y".utf8)) + field(2, [1, 2])
    try await peer.write(
      frame(2, 1, field(1, hex("0805") + field(2, Array("nope".utf8)) + field(3, detail))))
    let error = try await failed
    #expect(error.code == .notFound)
    #expect(error.message == "nope")
    #expect(error.reason == .status)
    #expect(error.details == [.init(typeURL: "type.googleapis.com/x.Y", value: [1, 2])])
    await client.close()
  }

  @Test("timeout and metadata are on the wire, the keys in lower case")
  func timeoutAndMetadata() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    async let answer = client.call(
      Self.echo, payload: ByteBuffer(),
      options: RPCCallOptions(timeout: .seconds(30), metadata: ["Foo": "a", "foo": "b"]))
    let (_, request) = try await peer.request()
    #expect((1_000_000_000...30_000_000_000).contains(request.timeoutNanoseconds))
    #expect(request.metadata.values(for: "foo") == ["a", "b"])
    try await peer.write(Vector.okEmptyGo)
    #expect(try await answer.readableBytes == 0)
    await client.close()
  }

  @Test("answers may come in any order")
  func outOfOrder() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for index in 0..<100 {
        group.addTask { try await call(client, "\(index)") == "\(index)" }
      }
      var requests: [(UInt32, Text)] = []
      for _ in 0..<100 {
        let (id, request) = try await peer.request()
        requests.append((id, try Text(decoding: request.payload)))
      }
      #expect(requests.map(\.0) == Array(stride(from: 1, through: 199, by: 2)))
      var random = SeededGenerator(seed: 1)
      for (id, request) in requests.shuffled(using: &random) {
        try await peer.write(try ok(id, request.value))
      }
      for try await matched in group { #expect(matched) }
    }
    #expect(await client.pendingCalls == 0)
    await client.close()
  }

  @Test("a cancelled call ends at once and its late answer is ignored")
  func cancellation() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    let cancelled = Task { try await failure { try await call(client, "gone") } }
    let (id, _) = try await peer.request()
    cancelled.cancel()
    let error = try await cancelled.value
    #expect(error.code == .cancelled)
    #expect(error.reason == .cancelled)
    #expect(await client.pendingCalls == 0)
    async let answer = call(client, "here")
    let (next, _) = try await peer.request()
    try await peer.write(try ok(id, "late") + ok(id, "later") + ok(next, "here"))
    #expect(try await answer == "here")
    await client.close()
  }

  @Test("a task that was cancelled before sends nothing")
  func cancelledBefore() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      return try await failure { try await call(client, "never") }
    }
    #expect(try await task.value.reason == .cancelled)
    async let answer = call(client, "first")
    let (id, request) = try await peer.request()
    #expect(try Text(decoding: request.payload).value == "first")
    try await peer.write(try ok(id, "first"))
    #expect(try await answer == "first")
    await client.close()
  }

  @Test("a deadline ends the call on this side, and its late answer is ignored")
  func deadline() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    let error = try await failure { try await call(client, timeout: .milliseconds(30)) }
    #expect(error.code == .deadlineExceeded)
    #expect(error.reason == .deadline)
    #expect(await client.pendingCalls == 0)
    async let answer = call(client, "here")
    // On a busy machine the first call's time was up before it was sent.
    var late: [UInt8] = []
    while true {
      let (id, request) = try await peer.request()
      if try Text(decoding: request.payload).value == "here" {
        try await peer.write(late + (try ok(id, "here")))
        break
      }
      late += try ok(id, "late")
    }
    #expect(try await answer == "here")
    // Deadlines of different lengths, the shorter one made later.
    async let long = failure { try await call(client, timeout: .milliseconds(200)) }
    async let short = failure { try await call(client, timeout: .milliseconds(20)) }
    #expect(try await short.reason == .deadline)
    #expect(try await long.reason == .deadline)
    #expect(await client.pendingCalls == 0)
    await client.close()
  }

  @Test("a deadline that has passed, or lies beyond any clock, is no trouble")
  func oddDeadlines() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    for timeout in [Duration.zero, .seconds(-5)] {
      let error = try await failure { try await call(client, timeout: timeout) }
      #expect(error.reason == .deadline)
    }
    async let answer = call(client, timeout: .seconds(Int64.max))
    let (id, request) = try await peer.request()
    #expect(request.timeoutNanoseconds > 0)
    try await peer.write(try ok(id, "x"))
    #expect(try await answer == "x")
    await client.close()
  }

  @Test("a frame of another type ends only the call it is for", arguments: [3, 1, 0x7f] as [UInt8])
  func unexpectedFrame(_ type: UInt8) async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    async let failed = failure { try await call(client, "a") }
    _ = try await peer.request()
    async let answer = call(client, "b")
    _ = try await peer.request()
    try await peer.write(
      frame(type, 1, hex("0a0161")) + frame(type, 99) + Vector.unknownType.prefix(0)
        + (try ok(3, "b")))
    #expect(try await failed.reason == .protocolViolation)
    #expect(try await answer == "b")
    #expect(await client.pendingCalls == 0)
    await client.close()
  }

  @Test("a Response that cannot be read, or whose message cannot, ends only its call")
  func unreadable() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    for damaged in [hex("ffffff"), field(2, hex("ffff"))] {
      async let failed = failure { try await call(client) }
      let (id, _) = try await peer.request()
      try await peer.write(frame(2, id, damaged))
      #expect(try await failed.reason == .encoding)
    }
    async let answer = call(client)
    let (id, _) = try await peer.request()
    try await peer.write(try ok(id, "fine"))
    #expect(try await answer == "fine")
    await client.close()
  }

  @Test("a request of 4 MiB is sent; one byte more is refused here and nothing is written")
  func oversizeRequest() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    let room = FrameHeader.maximumLength - RequestHead(method: Self.echo).envelopeSize(payload: 0)
    let fits = room - 5  // the payload's tag and its length
    let error = try await failure {
      try await client.call(Self.echo, payload: ByteBuffer(repeating: 1, count: fits + 1))
    }
    #expect(error.code == .resourceExhausted)
    #expect(error.reason == .oversize)
    #expect(error.message == "message length 4194305 exceed maximum message size of 4194304")
    async let answer = client.call(Self.echo, payload: ByteBuffer(repeating: 1, count: fits))
    let sent = try #require(await peer.frame())
    #expect(sent.id == 1)
    #expect(sent.data.count == FrameHeader.maximumLength)
    try await peer.write(Vector.okEmptyGo)
    #expect(try await answer.readableBytes == 0)
    await client.close()
  }

  @Test("an answer of 4 MiB is taken; a larger one ends only its call")
  func oversizeResponse() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    async let large = client.call(Self.echo, payload: ByteBuffer())
    _ = try await peer.request()
    let content = [UInt8](repeating: 1, count: FrameHeader.maximumLength - 5)
    try await peer.write(frame(2, 1, field(2, content)))
    #expect(try await large.readableBytes == content.count)

    async let tooLarge = failure { try await call(client) }
    _ = try await peer.request()
    async let other = call(client)
    _ = try await peer.request()
    try await peer.write(
      frame(2, 3, [UInt8](repeating: 1, count: FrameHeader.maximumLength + 1))
        + (try ok(5, "alive")))
    let error = try await tooLarge
    #expect(error.reason == .oversize)
    #expect(error.message == "message length 4194305 exceed maximum message size of 4194304")
    #expect(try await other == "alive")
    #expect(await client.pendingCalls == 0)
    await client.close()
  }

  @Test("when the peer does not read, calls that are not sent yet can be withdrawn")
  func withdrawn() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    try await peer.channel.setOption(.autoRead, value: false).get()
    let payload = ByteBuffer(repeating: 1, count: 1 << 20)
    let calls = (0..<20).map { index in
      Task {
        try await failure {
          try await client.call(
            RPCMethod(service: "t.S", name: "Echo\(index)"), payload: payload,
            options: RPCCallOptions(timeout: index % 2 == 0 ? .milliseconds(50) : nil))
        }
      }
    }
    for (index, call) in calls.enumerated() {
      if index % 2 == 1 {
        call.cancel()
        #expect(try await call.value.reason == .cancelled)
      } else {
        #expect(try await call.value.reason == .deadline)
      }
    }
    #expect(await client.pendingCalls == 0)
    async let answer = call(client, "after")
    try await peer.channel.setOption(.autoRead, value: true).get()
    var seen = 0
    while true {
      let (id, request) = try await peer.request()
      seen += 1
      guard request.methodName == "Echo" else { continue }
      try await peer.write(try ok(id, "after"))
      break
    }
    #expect(try await answer == "after")
    // The kernel's and the channel's buffers hold a few; the rest were never written.
    #expect(seen < 10)
    await client.close()
  }
}
