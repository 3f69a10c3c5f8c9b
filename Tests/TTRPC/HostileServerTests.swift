import NIOCore
import RPCCore
import SwiftProtobuf
import Testing

@testable import TTRPC

/// What a server can do to a client.
@Suite("A hostile server", .serialized, .timeLimit(.minutes(5)))
struct HostileServerTests {
  private static let echo = RPCMethod(service: "t.S", name: "Echo")

  private func call(_ client: TTRPCClient) async throws -> Text {
    try await client.unary(
      Self.echo, Text.with { $0.value = "x" }, returning: Text.self, options: .init())
  }

  private static let answer = field(2, field(1, [0x78]))

  @Test("100,000 answers that nobody waits for are dropped, and a call gets its own")
  func strayAnswers() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    async let result = call(client)
    let (id, _) = try await peer.request()
    let stray =
      frame(2, 2) + frame(2, 77_777, Self.answer) + frame(3, 99, [1]) + frame(0x7f, id &+ 2)
    let block = [[UInt8]](repeating: stray, count: 1_000).flatMap { $0 }
    for _ in 0..<25 { try await peer.write(block) }
    try await peer.write(frame(2, id, Self.answer))
    #expect(try await result.value == "x")
    #expect(await client.pendingCalls == 0)
    await client.close()
  }

  @Test("an answer of 16 MiB fails its call when it has been dropped, and no other")
  func hugeAnswer() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    async let first = failure { try await call(client) }
    let (id, _) = try await peer.request()
    async let second = call(client)
    let (other, _) = try await peer.request()
    let before = ResidentMemory.bytes()
    try await peer.write([1, 0, 0, 0] + frame(2, id).dropFirst(4))
    let chunk = [UInt8](repeating: 1, count: 1 << 20)
    for _ in 0..<16 { try await peer.write(chunk) }
    try await peer.write(frame(2, other, Self.answer))
    let error = try await first
    #expect(error.code == .resourceExhausted && error.reason == .oversize)
    #expect(try await second.value == "x")
    #expect(ResidentMemory.bytes() - before < HostileClientTests.mostGrowth)
    await client.close()
  }

  @Test("one call that is answered a thousand times, and with everything, ends once")
  func manyAnswers() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    let kinds: [[UInt8]] = [
      Self.answer, [], [0xff], field(1, [0x08, 5]), field(2, [0xff, 0xff]),
    ]
    for kind in kinds {
      for type in [2, 3, 1, 0x7f] as [UInt8] {
        async let result: Void = {
          // How it ends does not matter here: that it ends, and how often, does.
          _ = try? await call(client)
        }()
        let (id, _) = try await peer.request()
        let block = [[UInt8]](repeating: frame(type, id, kind, flags: 0xff), count: 1_000)
        try await peer.write(block.flatMap { $0 })
        await result
        #expect(await client.pendingCalls == 0)
      }
    }
    #expect(client.isConnected)
    await client.close()
  }

  @Test("a flood into a stream that nobody reads ends that stream; calls go on")
  func floodedStream() async throws {
    let budget = TTRPCStreamBudget(
      messages: 64, bytes: 1 << 20, connectionBytes: 4 << 20, grace: .milliseconds(300))
    for size in [0, 1_000, 1 << 20] {
      let (peer, channel) = try await RawPeer.pair()
      let client = await client(over: channel, .init(streams: budget))
      let stream = try await client.open(
        RPCMethod(service: "t.S", name: "Bidi"), kind: .bidirectional, request: nil,
        options: .init())
      let (id, _) = try await peer.request()
      async let result = call(client)
      let (other, _) = try await peer.request()
      let before = ResidentMemory.bytes()
      let data = frame(3, id, [UInt8](repeating: 1, count: size))
      let block = [[UInt8]](repeating: data, count: max(1, (1 << 18) / data.count))
        .flatMap { $0 }
      // All of it is taken in the end, since the stream is given up.
      for _ in 0..<((size == 0 ? 2 << 20 : 64 << 20) / block.count) { try await peer.write(block) }
      try await peer.write(frame(2, other, Self.answer))
      #expect(try await result.value == "x")
      let error = try await failure { while try await stream.next() != nil {} }
      #expect(error.code == .resourceExhausted && error.reason == .overflow)
      #expect(ResidentMemory.bytes() - before < HostileClientTests.mostGrowth)
      await client.close()
    }
  }
}
