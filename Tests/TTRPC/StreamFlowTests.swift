import NIOCore
import RPCCore
import SwiftProtobuf
import Testing

@testable import TTRPC

/// What happens to streams that are not read, and to those beside them.
@Suite("Streams that nobody reads", .timeLimit(.minutes(5)))
struct StreamFlowTests {
  /// Small enough to be exceeded at once, with as short a grace.
  static let tight = TTRPCStreamBudget(
    messages: 4, bytes: 1 << 20, connectionBytes: 1 << 20, grace: .milliseconds(200))

  @Test("TestStreamNotConsumedDoesNotBlockConnection: calls and streams beside it go on")
  func notConsumed() async throws {
    try await StreamService.serving(
      StreamService.server(), client: .init(streams: Self.tight)
    ) { client in
      let unread = try await client.serverStreaming(
        StreamService.count, Number(1_000_000), returning: Number.self, options: .init())
      for value in 0..<20 as Range<Int64> {
        let answer = try await client.unary(
          StreamService.unary, Number(value), returning: Number.self, options: .init())
        #expect(answer.value == value + 1)
      }
      let other = try await client.bidirectional(
        StreamService.echo, sending: Number.self, returning: Number.self, options: .init())
      for value in 0..<100 as Range<Int64> {
        try await other.send(Number(value))
        #expect(try await other.responses.next()?.value == value + 1)
      }
      try await eventually { await client.pendingCalls == 1 }
      let error = try await failure { while true { _ = try await unread.next() } }
      #expect(error.code == .resourceExhausted && error.reason == .overflow)
      #expect(error.message == "ttrpc: stream buffer full")
      other.cancel()
    }
  }

  @Test("TestStreamFullOnServer: a handler that never reads loses its stream, and no other")
  func fullOnServer() async throws {
    let tally = Tally()
    let server = ServerStreamTests.server(tally, .init(streams: Self.tight))
    try await StreamService.serving(server) { client in
      let mute = try await client.bidirectional(
        RPCMethod(service: "t.S", name: "Mute"), sending: Text.self, returning: Text.self,
        options: .init())
      for _ in 0..<20 { try await mute.send(Text.with { $0.value = "x" }) }
      let answer = try await client.unary(
        RPCMethod(service: "t.S", name: "Echo"), Text.with { $0.value = "y" },
        returning: Text.self, options: .init())
      #expect(answer.value == "y")
      let error = try await failure { try await mute.responses.next() }
      #expect(error.code == .resourceExhausted && error.reason == .status)
      #expect(error.message == "data handling error: ttrpc: stream buffer full")
      try await eventually { await tally.notes == ["began", "cancelled"] }
      #expect(await client.pendingCalls == 0)
    }
  }

  @Test("within its budget a stream may stay unread for ever")
  func withinBudget() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel, .init(streams: Self.tight))
    let stream = try await client.open(
      StreamService.echo, kind: .bidirectional, request: nil, options: .init())
    for value in 0..<4 as Range<UInt8> { try await peer.write(frame(3, 1, [value])) }
    try await Task.sleep(for: .milliseconds(500))
    for value in 0..<4 as Range<UInt8> {
      #expect(try await stream.next().map { bytes($0) } == [value])
    }
    await client.close()
  }

  @Test("one message may be as large as it likes")
  func oneLargeMessage() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let budget = TTRPCStreamBudget(bytes: 1, connectionBytes: 8 << 20, grace: .milliseconds(50))
    let client = await client(over: channel, .init(streams: budget))
    let stream = try await client.open(
      StreamService.echo, kind: .bidirectional, request: nil, options: .init())
    try await peer.write(frame(3, 1, [UInt8](repeating: 1, count: 1 << 20)))
    try await Task.sleep(for: .milliseconds(200))
    #expect(try await stream.next()?.readableBytes == 1 << 20)
    await client.close()
  }

  @Test("a reader that is slow but reads gets everything: its peer is slowed down")
  func slowReader() async throws {
    try await StreamService.serving(
      StreamService.server(),
      client: .init(streams: .init(messages: 4, connectionBytes: 64 << 10, grace: .seconds(60)))
    ) { client in
      let numbers = try await client.serverStreaming(
        StreamService.count, Number(20_000), returning: Number.self, options: .init())
      var expected: Int64 = 0
      for try await number in numbers {
        #expect(number.value == expected)
        expected += 1
        if expected % 1_000 == 0 { try await Task.sleep(for: .milliseconds(5)) }
      }
      #expect(expected == 20_000)
    }
  }

  @Test("a reader that is slow and alone gets everything, however long its connection has no room")
  func slowAndAlone() async throws {
    let budget = TTRPCStreamBudget(
      messages: .max, bytes: .max, connectionBytes: 64 << 10, grace: .seconds(1))
    try await StreamService.serving(StreamService.server(), client: .init(streams: budget)) {
      client in
      let numbers = try await client.serverStreaming(
        StreamService.count, Number(20_000), returning: Number.self, options: .init())
      var expected: Int64 = 0
      for try await number in numbers {
        #expect(number.value == expected)
        expected += 1
        // Far more often than the grace, and in all for longer than it.
        if expected % 200 == 0 { try await Task.sleep(for: .milliseconds(20)) }
      }
      #expect(expected == 20_000)
    }
  }

  @Test("a reader that is slow holds a call beside it up for the grace, and is given up then")
  func slowBesideCall() async throws {
    let budget = TTRPCStreamBudget(
      messages: .max, bytes: .max, connectionBytes: 64 << 10, grace: .milliseconds(200))
    try await StreamService.serving(StreamService.server(), client: .init(streams: budget)) {
      client in
      let unread = try await client.serverStreaming(
        StreamService.count, Number(1_000_000), returning: Number.self, options: .init())
      let reading = Task {
        try await failure {
          while true {
            _ = try await unread.next()
            try await Task.sleep(for: .milliseconds(5))
          }
        }
      }
      try await eventually {
        client.account.held >= 64 << 10
      }
      // As it is read, the answer would come after minutes.
      let answer = try await client.unary(
        StreamService.unary, Number(1), returning: Number.self,
        options: .init(timeout: .seconds(30)))
      #expect(answer.value == 2)
      #expect(try await reading.value.reason == .overflow)
    }
  }

  @Test("when the connection's room is used up, the stream that holds most is given up")
  func fullestGoes() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let budget = TTRPCStreamBudget(
      messages: 1_000_000, bytes: 1 << 30, connectionBytes: 1 << 20, grace: .milliseconds(100))
    let client = await client(over: channel, .init(streams: budget))
    let small = try await client.open(
      StreamService.echo, kind: .bidirectional, request: nil, options: .init())
    let large = try await client.open(
      StreamService.echo, kind: .bidirectional, request: nil, options: .init())
    try await peer.write(frame(3, 1, [1]))
    // A little at a time: more than there is room for on this side, and not all in one read.
    let flood = frame(3, 3, [UInt8](repeating: 1, count: 1_000))
    let writing = Task { [channel = peer.channel] in
      for _ in 0..<5_000 { try await channel.writeAndFlush(buffer(flood)) }
      try await channel.writeAndFlush(buffer(frame(3, 1, [2])))
    }
    #expect(try await small.next().map { bytes($0) } == [1])
    #expect(try await small.next().map { bytes($0) } == [2])
    #expect(try await failure { try await large.next() }.reason == .overflow)
    try await writing.value
    #expect(await client.pendingCalls == 1)
    small.cancel()
    await client.close()
  }

  @Test("what streams hold is bounded, also when it is nothing but empty messages")
  func emptyMessages() async throws {
    let tally = Tally()
    let budget = TTRPCStreamBudget(messages: .max, connectionBytes: 1 << 20, grace: .seconds(60))
    let server = ServerStreamTests.server(tally, .init(streams: budget))
    let (peer, channel) = try await RawPeer.pair { try server.configure($0) }
    try await peer.write(frame(1, 1, request("t.S", "Mute"), flags: 2))
    let flood = [[UInt8]](repeating: frame(3, 1), count: 1_000).flatMap { $0 }
    let writing = Task { [channel = peer.channel] in
      for _ in 0..<1_000 { try await channel.writeAndFlush(buffer(flood)) }
    }
    func held() async throws -> Int {
      try await channel.eventLoop.submit {
        try channel.pipeline.syncOperations.handler(type: ServerHandler.self).watch.account.held
      }.get()
    }
    try await eventually { try await held() >= 1 << 20 }
    // A read's worth of frames at most comes on top.
    for _ in 0..<20 {
      try await Task.sleep(for: .milliseconds(5))
      #expect(try await held() <= 2 << 20)
    }
    try await peer.close()
    _ = await writing.result
  }

  @Test("a small message that is held does not keep the whole read that it came in")
  func compaction() {
    let account = ReceiveAccount(.init())
    var read = ByteBuffer(repeating: 0, count: 64 << 10)
    let slice = read.readSlice(length: 10) ?? ByteBuffer()
    #expect(account.compact(slice).storageCapacity >= 64 << 10)
    account.add(1 << 20)
    #expect(account.compact(slice).storageCapacity < 1_000)
    #expect(account.compact(slice) == slice)
  }

  @Test("a peer that floods and never reads gets no more work done than its answers may fill")
  func floodOfRefusals() async throws {
    let server = ServerStreamTests.server()
    let (peer, channel) = try await RawPeer.pair { try server.configure($0) }
    try await peer.channel.setOption(.autoRead, value: false).get()
    // Every frame is answered with an error that is larger than itself.
    let flood = [[UInt8]](repeating: frame(3, 1), count: 10_000).flatMap { $0 }
    let writing = Task { [channel = peer.channel] in
      for _ in 0..<1_000 { try await channel.writeAndFlush(buffer(flood)) }
    }
    try await eventually { !channel.isWritable }
    let waiting = try await channel.getOption(.bufferedWritableBytes).get()
    #expect(waiting < 1 << 20)
    try await peer.close()
    _ = await writing.result
  }
}
