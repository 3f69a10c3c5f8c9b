import NIOCore
import RPCCore
import SwiftProtobuf
import Testing
import TransportCore

@testable import TTRPC

@Suite("The client's streams, against a scripted server", .timeLimit(.minutes(5)))
struct ClientStreamTests {
  static let service = "ttrpc.integration.streaming.Streaming"
  static let bidirectional = RPCMethod(service: service, name: "EchoStream")

  private func open(
    _ client: TTRPCClient, _ kind: RPCStreamKind, request: ByteBuffer? = nil,
    options: RPCCallOptions = .init()
  ) async throws -> any RPCStream {
    try await client.open(
      RPCMethod(service: "t.S", name: "M"), kind: kind, request: request, options: options)
  }

  /// A client whose next id is 3, and the peer.
  private func connected(
    firstID: UInt32 = 3, _ configuration: TTRPCClient.Configuration = .init()
  ) async throws -> (RawPeer, TTRPCClient) {
    let (peer, channel) = try await RawPeer.pair {
      try TTRPCClient.install(
        on: $0, peerName: "test", budget: configuration.streams, firstID: firstID)
    }
    let client = await TTRPCClient.client(over: connection(channel), configuration: configuration)
    return (peer, client)
  }

  private func next(_ stream: any RPCStream) async throws -> [UInt8]? {
    try await stream.next().map { bytes($0) }
  }

  @Test("a bidirectional stream's frames are the vectors' (V21, V22, V23, V24)")
  func bidirectionalVectors() async throws {
    let (peer, client) = try await connected()
    let stream = try await client.open(
      Self.bidirectional, kind: .bidirectional, request: nil, options: .init())
    #expect(try await peer.bytes() == Vector.openRust)
    try await stream.send(buffer(hex("080112026869")))
    #expect(try await peer.bytes() == Vector.data)
    try await stream.send(ByteBuffer())
    #expect(try await peer.bytes() == Vector.dataEmpty)
    try await stream.finishSending()
    try await stream.finishSending()
    #expect(try await peer.bytes() == Vector.end)
    let late = try await failure { try await stream.send(ByteBuffer()) }
    #expect(late.code == .failedPrecondition)
    try await peer.write(Vector.data + Vector.dataEmpty + Vector.end)
    #expect(try await next(stream) == hex("080112026869"))
    #expect(try await next(stream) == [])
    #expect(try await next(stream) == nil)
    #expect(try await next(stream) == nil)
    #expect(await client.pendingCalls == 0)
    await client.close()
  }

  @Test("a stream with one request is opened with it (V26)")
  func serverStreamingVector() async throws {
    let (peer, client) = try await connected(firstID: 5)
    let stream = try await client.open(
      RPCMethod(service: Self.service, name: "DivideStream"), kind: .serverStreaming,
      request: buffer(hex("088803101e")), options: .init())
    #expect(try await peer.bytes() == Vector.openOneRequest)
    // Its one request has been sent.
    try await stream.finishSending()
    let late = try await failure { try await stream.send(ByteBuffer()) }
    #expect(late.code == .failedPrecondition)
    try await peer.write(frame(3, 5, [1]) + frame(3, 5, flags: 5))
    #expect(try await next(stream) == [1])
    #expect(try await next(stream) == nil)
    await client.close()
  }

  @Test("a stream with one response is opened as V27 with 0x06, and ends with V28")
  func clientStreamingVector() async throws {
    let (peer, client) = try await connected(firstID: 7)
    let stream = try await client.open(
      RPCMethod(service: Self.service, name: "SumStream"), kind: .clientStreaming, request: nil,
      options: .init())
    var expected = Vector.openOneResponseGo
    expected[9] = 0x06
    #expect(try await peer.bytes() == expected)
    try await peer.write(Vector.oneResponse)
    #expect(try await next(stream) == hex("086410cb01"))
    #expect(try await next(stream) == nil)
    // It has been answered before it was finished: that is no error, and nothing is written.
    try await stream.finishSending()
    let late = try await failure { try await stream.send(ByteBuffer()) }
    #expect(late.code == .failedPrecondition)
    #expect(await client.pendingCalls == 0)
    await client.close()
    #expect(await peer.frame() == nil)
  }

  @Test("what Go's server says is understood (9.1), and ours is what Go's client says but for 0x06")
  func goConversation() async throws {
    let (peer, client) = try await connected()
    func method(_ name: String) -> RPCMethod { RPCMethod(service: "t.S", name: name) }
    let bidi = try await client.open(
      method("Bidi"), kind: .bidirectional, request: nil, options: .init())
    #expect(try await peer.bytes() == hex("0000000b 00000003 01 06 0a03742e53 120442696469"))
    try await bidi.send(buffer(hex("0a0178")))
    #expect(try await peer.bytes() == hex("00000003 00000003 03 00 0a0178"))
    try await peer.write(hex("00000003 00000003 03 00 0a0178"))
    #expect(try await next(bidi) == hex("0a0178"))
    try await bidi.finishSending()
    #expect(try await peer.bytes() == hex("00000000 00000003 03 05"))
    try await peer.write(hex("00000000 00000003 03 05"))
    #expect(try await next(bidi) == nil)

    let server = try await client.open(
      method("Srv"), kind: .serverStreaming, request: buffer(hex("0a0171")), options: .init())
    #expect(
      try await peer.bytes() == hex("0000000f 00000005 01 01 0a03742e53 1203537276 1a030a0171"))
    try await peer.write(
      hex("00000003 00000005 03 00 0a0171 00000000 00000005 03 00 00000000 00000005 03 05"))
    #expect(try await next(server) == hex("0a0171"))
    #expect(try await next(server) == [])
    #expect(try await next(server) == nil)

    let sum = try await client.open(
      method("Cli"), kind: .clientStreaming, request: nil, options: .init())
    #expect(try await peer.bytes() == hex("0000000a 00000007 01 06 0a03742e53 1203436c69"))
    try await sum.send(buffer(hex("0a0178")))
    #expect(try await peer.bytes() == hex("00000003 00000007 03 00 0a0178"))
    try await sum.finishSending()
    #expect(try await peer.bytes() == hex("00000000 00000007 03 05"))
    try await peer.write(hex("00000005 00000007 02 00 12030a0178"))
    #expect(try await next(sum) == hex("0a0178"))
    #expect(try await next(sum) == nil)

    let failing = try await client.open(
      method("Srv"), kind: .serverStreaming, request: nil, options: .init())
    _ = await peer.frame()
    try await peer.write(hex("0000000a 00000009 02 00 0a0808051204 6e6f7065"))
    let error = try await failure { try await failing.next() }
    #expect("\(error)" == "NotFound: nope")
    #expect(await client.pendingCalls == 0)
    await client.close()
  }

  @Test("a last message that comes with the end is delivered before it (V25)")
  func dataAndEnd() async throws {
    let (peer, client) = try await connected()
    let stream = try await open(client, .bidirectional)
    try await peer.write(Vector.dataAndEnd)
    #expect(try await next(stream) == hex("080112026869"))
    #expect(try await next(stream) == nil)
    await client.close()
  }

  @Test("an error comes behind the messages before it, again each time it is asked for (V29)")
  func errorBehindMessages() async throws {
    let (peer, client) = try await connected()
    let stream = try await open(client, .bidirectional)
    try await peer.write(Vector.data + Vector.streamError)
    #expect(try await next(stream) == hex("080112026869"))
    for _ in 0..<2 {
      let error = try await failure { try await stream.next() }
      #expect(error.code == .notFound && error.reason == .status)
    }
    let late = try await failure { try await stream.send(ByteBuffer()) }
    #expect(late.code == .notFound)
    #expect(await client.pendingCalls == 0)
    await client.close()
  }

  @Test("frames of a stream that has ended, and of none that ever was, are dropped")
  func strayFrames() async throws {
    let (peer, client) = try await connected()
    let stream = try await open(client, .bidirectional)
    try await peer.write(Vector.end + Vector.data + Vector.streamError + frame(3, 99, [1]))
    #expect(try await next(stream) == nil)
    async let answer = client.call(ClientTests.echo, payload: ByteBuffer())
    _ = await peer.frame()
    let (id, _) = try await peer.request()
    try await peer.write(Vector.data + frame(2, id, field(2, [7])))
    #expect(bytes(try await answer) == [7])
    await client.close()
  }

  @Test("timeout and metadata are on the wire for all kinds")
  func options() async throws {
    let (peer, client) = try await connected()
    for kind in [RPCStreamKind.bidirectional, .clientStreaming, .serverStreaming] {
      let options = RPCCallOptions(timeout: .seconds(60), metadata: ["Foo": "a"])
      let stream = try await open(client, kind, options: options)
      let (_, request) = try await peer.request()
      #expect((1_000_000_000...60_000_000_000).contains(request.timeoutNanoseconds))
      #expect(request.metadata.entries.map(\.key) == ["foo"])
      stream.cancel()
    }
    try await eventually { await client.pendingCalls == 0 }
    await client.close()
  }

  @Test("a deadline ends the stream on this side, whatever has come")
  func deadline() async throws {
    let (peer, client) = try await connected()
    var opened: (any RPCStream)?
    // On a busy machine it may pass before the stream is open.
    let error = try await failure {
      let options = RPCCallOptions(timeout: .milliseconds(100))
      let stream = try await open(client, .bidirectional, options: options)
      opened = stream
      try await peer.write(frame(3, 3, [1]) + frame(3, 3, [2]))
      while true { _ = try await stream.next() }
    }
    #expect(error.code == .deadlineExceeded && error.reason == .deadline)
    if let opened {
      let late = try await failure { try await opened.send(ByteBuffer()) }
      #expect(late.reason == .deadline)
    }
    #expect(await client.pendingCalls == 0)
    let passed = try await failure {
      try await open(client, .bidirectional, options: RPCCallOptions(timeout: .zero))
    }
    #expect(passed.reason == .deadline)
    await client.close()
  }

  @Test("cancelling a wait for a message leaves the stream as it was")
  func cancelledWait() async throws {
    let (peer, client) = try await connected()
    let stream = try await open(client, .bidirectional)
    let waiting = Task { try await failure { try await stream.next() } }
    for _ in 0..<10 { await Task.yield() }
    waiting.cancel()
    #expect(try await waiting.value.reason == .cancelled)
    let before = Task {
      while !Task.isCancelled { await Task.yield() }
      return try await failure { try await stream.next() }
    }
    before.cancel()
    #expect(try await before.value.reason == .cancelled)
    try await peer.write(Vector.data)
    #expect(try await next(stream) == hex("080112026869"))
    await client.close()
  }

  @Test("cancelling the stream ends what waits and forgets it")
  func cancelledStream() async throws {
    let (peer, client) = try await connected()
    let stream = try await open(client, .bidirectional)
    let waiting = Task { try await failure { try await stream.next() } }
    for _ in 0..<10 { await Task.yield() }
    stream.cancel()
    #expect(try await waiting.value.reason == .cancelled)
    #expect(await client.pendingCalls == 0)
    // The peer knows nothing of it; what it still sends is dropped.
    try await peer.write(Vector.data)
    #expect(try await failure { try await stream.next() }.reason == .cancelled)
    await client.close()
  }

  @Test("letting go of a stream cancels it")
  func droppedStream() async throws {
    let (_, client) = try await connected()
    var stream: (any RPCStream)? = try await open(client, .bidirectional)
    #expect(stream != nil)
    #expect(await client.pendingCalls == 1)
    stream = nil
    try await eventually { await client.pendingCalls == 0 }
    await client.close()
  }

  @Test("a stream keeps its client's connection")
  func streamKeepsClient() async throws {
    let (peer, stream) = try await {
      let (peer, client) = try await connected()
      return (peer, try await open(client, .bidirectional))
    }()
    _ = await peer.frame()
    try await peer.write(Vector.data)
    #expect(try await next(stream) == hex("080112026869"))
  }

  @Test("the loss of the connection ends a stream behind what has come")
  func connectionLoss() async throws {
    let (peer, client) = try await connected()
    let streams = [
      try await open(client, .bidirectional), try await open(client, .clientStreaming),
      try await open(client, .serverStreaming),
    ]
    try await peer.write(Vector.data)
    try await peer.close()
    #expect(try await next(streams[0]) == hex("080112026869"))
    for stream in streams {
      #expect(try await failure { try await stream.next() }.reason == .connectionClosed)
      #expect(
        try await failure { try await stream.send(ByteBuffer()) }.reason == .connectionClosed)
      try await stream.finishSending()
    }
    #expect(await client.pendingCalls == 0)
    #expect(
      try await failure { try await open(client, .bidirectional) }.reason == .connectionClosed)
  }

  @Test("a message too large is refused and leaves the stream as it was")
  func oversizeSent() async throws {
    let (peer, client) = try await connected()
    let stream = try await open(client, .bidirectional)
    _ = await peer.frame()
    let large = ByteBuffer(repeating: 0, count: FrameHeader.maximumLength + 1)
    let refused = try await failure { try await stream.send(large) }
    #expect(refused.code == .resourceExhausted && refused.reason == .oversize)
    try await stream.send(ByteBuffer(repeating: 1, count: FrameHeader.maximumLength))
    #expect(await peer.frame()?.data.count == FrameHeader.maximumLength)
    let opened = try await failure {
      try await open(client, .serverStreaming, request: large)
    }
    #expect(opened.reason == .oversize)
    stream.cancel()
    try await eventually { await client.pendingCalls == 0 }
    await client.close()
  }

  @Test("a message too large from the peer ends its stream and no other")
  func oversizeReceived() async throws {
    let (peer, client) = try await connected()
    let stream = try await open(client, .bidirectional)
    let other = try await open(client, .bidirectional)
    try await peer.write(
      frame(3, 3, [UInt8](repeating: 0, count: FrameHeader.maximumLength + 1))
        + frame(3, 5, [1]))
    #expect(try await failure { try await stream.next() }.reason == .oversize)
    #expect(try await next(other) == [1])
    await client.close()
  }

  @Test("data for a unary call, or for a stream with one response, breaks the protocol")
  func breaches() async throws {
    let (peer, client) = try await connected()
    async let answer = failure { try await client.call(ClientTests.echo, payload: ByteBuffer()) }
    _ = await peer.frame()
    try await peer.write(frame(3, 3, [1]))
    #expect(try await answer.reason == .protocolViolation)
    let stream = try await open(client, .clientStreaming)
    try await peer.write(frame(3, 5, [1]))
    #expect(try await failure { try await stream.next() }.reason == .protocolViolation)
    #expect(await client.pendingCalls == 0)
    await client.close()
  }

  @Test("a send that waits is withdrawn by cancelling it; those behind it go on")
  func withdrawnSend() async throws {
    let (peer, client) = try await connected()
    try await peer.channel.setOption(.autoRead, value: false).get()
    let stream = try await open(client, .bidirectional)
    let large = ByteBuffer(repeating: 7, count: 1 << 20)
    // More than socket and channel take: the last of them waits.
    let blocked = Task {
      var sent = 0
      do {
        while true {
          try await stream.send(large)
          sent += 1
        }
      } catch {
        return (sent, error)
      }
    }
    try await eventually { await !client.writable }
    blocked.cancel()
    let (sent, error) = await blocked.value
    #expect((error as? RPCError)?.reason == .cancelled)
    // A stream that waits to be opened is withdrawn, too.
    let opening = Task { try await failure { try await open(client, .bidirectional) } }
    for _ in 0..<10 { await Task.yield() }
    opening.cancel()
    #expect(try await opening.value.reason == .cancelled)
    let behind = Task { try await stream.send(buffer([1])) }
    try await peer.channel.setOption(.autoRead, value: true).get()
    try await behind.value
    _ = await peer.frame()
    for _ in 0..<sent { #expect(await peer.frame()?.data.count == 1 << 20) }
    #expect(await peer.frame() == .init(type: 3, id: 3, data: [1]))
    #expect(await client.pendingCalls == 1)
    await client.close()
  }
}

extension TTRPCClient {
  /// Whether the channel takes more.
  var writable: Bool {
    get async { connection.channel.isWritable }
  }
}
