import NIOCore
import RPCCore
import Synchronization
import Testing

@testable import TTRPC

@Suite("How a client's connection ends", .timeLimit(.minutes(2)))
struct ClientClosingTests {
  /// What `onClose` was called with.
  private final class Closings: Sendable {
    private let errors = Mutex<[RPCError?]>([])

    var all: [RPCError?] { errors.withLock { $0 } }
    var configuration: TTRPCClient.Configuration {
      TTRPCClient.Configuration { error in self.errors.withLock { $0.append(error) } }
    }
  }

  private func call(_ client: TTRPCClient) async throws -> ByteBuffer {
    try await client.call(ClientTests.echo, payload: ByteBuffer(bytes: [8, 1]))
  }

  @Test("a thousand calls in flight each fail once when the connection is lost, then onClose runs")
  func lost() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let closings = Closings()
    let client = await client(over: channel, closings.configuration)
    let tally = Tally()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<1_000 {
        group.addTask {
          let error = try await failure { try await call(client) }
          await tally.note("\(error.reason) \(error.code)")
        }
      }
      for _ in 0..<1_000 { _ = try await peer.request() }
      #expect(closings.all.isEmpty)
      try await peer.close()
      try await group.waitForAll()
    }
    await client.waitUntilClosed()
    #expect(await tally.count == 1_000)
    #expect(Set(await tally.notes) == ["connectionClosed Unavailable"])
    #expect(closings.all.count == 1)
    #expect(closings.all.first??.reason == .connectionClosed)
    #expect(await client.pendingCalls == 0)
    #expect(!client.isConnected)
    #expect(try await failure { try await call(client) }.reason == .connectionClosed)
  }

  @Test("an answer that came before the end is delivered")
  func lastAnswer() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    let calls = (0..<2).map { _ in Task { try await call(client) } }
    for _ in calls { _ = try await peer.request() }
    try await peer.write(frame(2, 1, field(2, [7])))
    try await peer.close()
    var answers: [ByteBuffer] = []
    for call in calls {
      switch await call.result {
      case .success(let answer): answers.append(answer)
      case .failure(let error): #expect((error as? RPCError)?.reason == .connectionClosed)
      }
    }
    #expect(answers == [ByteBuffer(bytes: [7])])
    #expect(await client.pendingCalls == 0)
  }

  @Test("an end in the middle of a frame says so", arguments: [3, 12])
  func truncated(_ count: Int) async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    async let failed = failure { try await call(client) }
    _ = try await peer.request()
    try await peer.write(Array(Vector.okGo.prefix(count)))
    try await peer.close()
    let error = try await failed
    #expect(error.reason == .connectionClosed)
    #expect(error.message.contains("middle of a frame"))
  }

  @Test(
    "a peer that speaks HTTP/2 and hangs up is told by it",
    arguments: [
      [0, 0, 18, 4, 0, 0, 0, 0, 0] + [UInt8](repeating: 1, count: 18),
      [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8],
    ])
  func http2(_ settings: [UInt8]) async throws {
    let (peer, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    async let failed = failure { try await call(client) }
    _ = try await peer.request()
    try await peer.write(settings)
    try await peer.close()
    let error = try await failed
    #expect(error.reason == .connectionClosed)
    #expect(error.message.contains("grpc+"), "\(error)")
  }

  @Test("closing ends the calls, tells onClose that it was us, and may be repeated")
  func close() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let closings = Closings()
    let client = await client(over: channel, closings.configuration)
    async let failed = failure { try await call(client) }
    _ = try await peer.request()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<10 { group.addTask { await client.close() } }
    }
    await client.close()
    #expect(try await failed.reason == .connectionClosed)
    #expect(await peer.frame() == nil)
    await client.waitUntilClosed()
    #expect(closings.all.count == 1)
    #expect(closings.all.allSatisfy { $0 == nil })
    #expect(try await failure { try await call(client) }.reason == .connectionClosed)
  }

  @Test("a connection that was lost before there was a client makes one that has ended")
  func lostBefore() async throws {
    let (peer, channel) = try await RawPeer.pair()
    try await peer.close()
    try await channel.closeFuture.get()
    let closings = Closings()
    let client = await client(over: channel, closings.configuration)
    await client.waitUntilClosed()
    #expect(closings.all.count == 1)
    #expect(try await failure { try await call(client) }.reason == .connectionClosed)
    await client.close()
  }

  @Test("waiting for the end stops when the task is cancelled")
  func cancelledWait() async throws {
    let (_, channel) = try await RawPeer.pair()
    let client = await client(over: channel)
    let wait = Task { await client.waitUntilClosed() }
    wait.cancel()
    await wait.value
    #expect(client.isConnected)
    await client.close()
  }

  @Test("a client that nobody holds any more closes its connection")
  func released() async throws {
    let (peer, channel) = try await RawPeer.pair()
    do { _ = await client(over: channel) }
    #expect(await peer.frame() == nil)
  }

  @Test("when the ids are used up, the calls under way may end and then the connection closes")
  func idsUsedUp() async throws {
    let (peer, channel) = try await RawPeer.pair {
      try TTRPCClient.install(on: $0, peerName: "test", firstID: .max - 2)
    }
    let client = await TTRPCClient.client(over: connection(channel), configuration: .init())
    async let first = call(client)
    #expect(try await peer.request().0 == .max - 2)
    async let last = call(client)
    #expect(try await peer.request().0 == .max)
    let refused = try await failure { try await call(client) }
    #expect(refused.reason == .connectionClosed)
    #expect(client.isConnected)
    try await peer.write(frame(2, .max - 2) + frame(2, .max))
    _ = try await (first, last)
    #expect(await peer.frame() == nil)
    await client.waitUntilClosed()
  }

  @Test("calls and cancellations that race with the end each end once, and nothing stays behind")
  func race() async throws {
    for round in 0..<50 {
      let (peer, channel) = try await RawPeer.pair()
      let closings = Closings()
      let client = await client(over: channel, closings.configuration)
      let tasks = (0..<40).map { index in
        Task {
          // A result is as good as an error here: each call must end.
          _ = try? await client.call(
            ClientTests.echo, payload: ByteBuffer(bytes: [8, 1]),
            options: RPCCallOptions(timeout: index % 3 == 0 ? .microseconds(200 * index) : nil))
        }
      }
      for task in tasks where Bool.random() { task.cancel() }
      if round % 2 == 0 {
        try await peer.write(frame(2, 1) + frame(2, 3) + frame(2, 5).prefix(5))
        try await peer.close()
      } else {
        await client.close()
      }
      for task in tasks { await task.value }
      await client.waitUntilClosed()
      #expect(closings.all.count == 1)
      #expect(await client.pendingCalls == 0)
    }
  }
}
