import Glibc
import NIOCore
import RPCCore
import SwiftProtobuf
import Testing
import TransportCore
import UnixTransport

@testable import TTRPC

/// What the tests of Go's implementation ask, asked of ours under their names. Those of its server's
/// end are in ServerControlTests, those of full streams in StreamFlowTests, those of the streaming
/// service in GoStreamingConformanceTests.
@Suite("The tests of Go's implementation", .timeLimit(.minutes(5)))
struct GoConformanceTests {
  private static func method(_ name: String) -> RPCMethod { RPCMethod(service: "t.S", name: name) }

  private func text(_ value: String) -> Text { Text.with { $0.value = value } }

  /// A server with the methods that `register` adds, and a client of it.
  private func serving(
    _ register: (inout TTRPCServer) -> Void,
    _ body: @escaping @Sendable (TTRPCClient) async throws -> Void
  ) async throws {
    var server = TTRPCServer()
    register(&server)
    try await StreamService.serving(server) { try await body($0) }
  }

  // MARK: channel_test.go

  @Test("TestReadWriteMessage: frames arrive whole and in order, then the end")
  func readWriteMessage() async throws {
    let (peer, channel) = try await RawPeer.pair()
    let messages = ["hello", "this is a test", "of message framing"].map { Array($0.utf8) }
    var writer = FrameWriter()
    for (index, message) in messages.enumerated() {
      writer.data(streamID: UInt32(index), message: buffer(message)) { _ in }
    }
    var written = ByteBuffer()
    writer.emit { written.writeImmutableBuffer($0) }
    try await channel.writeAndFlush(written)
    try await channel.close()
    for (index, message) in messages.enumerated() {
      #expect(await peer.frame() == .init(type: 3, id: UInt32(index), data: message))
    }
    #expect(await peer.frame() == nil)
  }

  @Test("TestMessageOversize, TestOversizeCall: too large a request is ResourceExhausted")
  func oversize() async throws {
    try await serving {
      $0.register(Self.method("Echo")) { (text: Text, _) in text }
    } _: {
      client in
      let large = text(String(repeating: "x", count: 5 << 20))
      let error = try await failure {
        try await client.unary(
          Self.method("Echo"), large, returning: Text.self, options: .init())
      }
      #expect(error.code == .resourceExhausted)
      let answer = try await client.unary(
        Self.method("Echo"), text("small"), returning: Text.self, options: .init())
      #expect(answer.value == "small")
    }
  }

  // MARK: server_test.go

  @Test("TestServer: two calls at once with metadata of their own")
  func server() async throws {
    try await serving {
      $0.register(Self.method("Test")) { (text: Text, context) in
        Text.with { $0.value = text.value + text.value + (context.metadata["foo"] ?? "-") }
      }
    } _: { client in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for name in ["bar", "baz"] {
          group.addTask {
            let answer = try await client.unary(
              Self.method("Test"), text(name), returning: Text.self,
              options: .init(metadata: ["foo": name]))
            #expect(answer.value == name + name + name)
          }
        }
        try await group.waitForAll()
      }
    }
  }

  @Test("TestServerUnimplemented: an unknown service or method is Unimplemented, for every kind")
  func unimplemented() async throws {
    try await serving {
      $0.register(Self.method("Echo")) { (text: Text, _) in text }
    } _: {
      client in
      for method in [RPCMethod(service: "Not", name: "Found"), Self.method("Nope")] {
        let unary = try await failure { try await client.call(method, payload: ByteBuffer()) }
        #expect(unary.code == .unimplemented)
        for kind in [RPCStreamKind.clientStreaming, .serverStreaming, .bidirectional] {
          let stream = try await client.open(method, kind: kind, request: nil, options: .init())
          let error = try await failure { try await stream.next() }
          #expect(error.code == .unimplemented)
        }
      }
      #expect(await client.pendingCalls == 0)
    }
  }

  @Test("TestServerRequestTimeout: a handler knows how long its caller waits, whatever the kind")
  func requestTimeout() async throws {
    try await serving {
      $0.register(Self.method("Left")) { (_: Text, context) in
        Number((context.timeout?.components.seconds ?? -1))
      }
      $0.registerServerStreaming(Self.method("LeftStream")) {
        (_: Text, out: RPCWriter<Number>, context) in
        try await out.send(Number((context.timeout?.components.seconds ?? -1)))
      }
    } _: { client in
      for (timeout, range) in [
        (Duration.seconds(10 * 60), 1...600 as ClosedRange<Int64>), (nil, -1 ... -1),
      ] {
        let options = RPCCallOptions(timeout: timeout)
        let unary = try await client.unary(
          Self.method("Left"), Text(), returning: Number.self, options: options)
        #expect(range.contains(unary.value))
        let stream = try await client.serverStreaming(
          Self.method("LeftStream"), Text(), returning: Number.self, options: options)
        #expect(range.contains(try await stream.next()?.value ?? -2))
        #expect(try await stream.next() == nil)
      }
    }
  }

  // MARK: server_linux_test.go

  @Test("TestUnixSocketHandshake: a process is let in to its own server, and known")
  func unixSocketHandshake() async throws {
    try await serving {
      $0.register(Self.method("Who")) { (_: Text, context) in
        Number(Int64(context.peer.unix?.uid ?? .max))
      }
    } _: { client in
      let answer = try await client.unary(
        Self.method("Who"), Text(), returning: Number.self, options: .init())
      #expect(answer.value == Int64(getuid()))
    }
  }

  @Test("TestServerEOF: both ends' sockets are gone when the client has closed")
  func serverEOF() async throws {
    let control = RPCServerControl()
    var server = TTRPCServer()
    server.register(Self.method("Echo")) { (text: Text, _) in text }
    let (one, other) = try await socketPair { [server] in
      try server.configure($0, control: control)
    }
    let client = await client(over: other)
    _ = try await client.call(Self.method("Echo"), payload: ByteBuffer())
    #expect(control.connections == 1)
    await client.close()
    try await one.closeFuture.get()
    try await eventually { control.connections == 0 }
    #expect(!one.isActive && !other.isActive)
  }

  // MARK: client_test.go

  @Test("TestUserOnCloseWait: who waits for the end waits for the close callback, too")
  func userOnCloseWait() async throws {
    let tally = Tally()
    let (peer, channel) = try await RawPeer.pair()
    let began = AsyncStream.makeStream(of: Void.self)
    let client = await client(over: channel, .init { _ in began.continuation.finish() })
    let waiting = Task {
      await client.waitUntilClosed()
      await tally.note("ended")
    }
    for _ in 0..<50 { await Task.yield() }
    #expect(await tally.count == 0)
    try await peer.close()
    for await _ in began.stream {}
    await waiting.value
    #expect(await tally.count == 1)
  }

  @Test("TestClientReturnsErrClosedAfterClose: a call on a closed client always says so")
  func closedAfterClose() async throws {
    try await serving {
      $0.register(Self.method("Echo")) { (text: Text, _) in text }
    } _: {
      client in
      await client.close()
      for _ in 0..<100 {
        let call = try await failure {
          try await client.call(Self.method("Echo"), payload: ByteBuffer())
        }
        #expect(call.reason == .connectionClosed && call.code == .unavailable)
        let stream = try await failure {
          try await client.open(
            Self.method("Echo"), kind: .bidirectional, request: nil, options: .init())
        }
        #expect(stream.reason == .connectionClosed)
      }
    }
  }

  // MARK: services_test.go

  @Test("Test_MethodFullNameGeneration: a method's full name is service, slash, method")
  func fullName() {
    #expect(RPCMethod(service: "test.v1.service", name: "Foo").path == "test.v1.service/Foo")
  }

  // MARK: stream_test.go

  @Test("TestStreamClient: a unary call, then 100 echoes in order, then the end")
  func streamClient() async throws {
    try await serving {
      $0.register(Self.method("Echo")) { (number: Number, _) in number.next }
      $0.registerBidirectional(Self.method("EchoStream")) {
        (numbers: RPCReader<Number>, out: RPCWriter<Number>, _) in
        for try await number in numbers { try await out.send(number.next) }
      }
    } _: { client in
      let unary = try await client.unary(
        Self.method("Echo"), Number(1), returning: Number.self, options: .init())
      #expect(unary.value == 2)
      let stream = try await client.bidirectional(
        Self.method("EchoStream"), sending: Number.self, returning: Number.self, options: .init())
      for value in 0..<100 as Range<Int64> { try await stream.send(Number(value)) }
      for value in 0..<100 as Range<Int64> {
        #expect(try await stream.responses.next()?.value == value + 1)
      }
      try await stream.finishSending()
      #expect(try await stream.responses.next() == nil)
      #expect(await client.pendingCalls == 0)
    }
  }

  @Test("TestStreamHandlerContextCancelOnReturn: what a handler left behind is told of its return")
  func contextCancelOnReturn() async throws {
    let tally = Tally()
    try await serving {
      $0.register(Self.method("Leave"), kind: .bidirectional, execution: .pool) { stream, _ in
        let waits = AsyncStream.makeStream(of: Void.self)
        Task {
          // It may begin behind the handler's return; then it is told all the same.
          waits.continuation.finish()
          await tally.note("\(try await failure { try await stream.next() }.code)")
        }
        for await _ in waits.stream {}
        return nil
      }
    } _: { client in
      let stream = try await client.open(
        Self.method("Leave"), kind: .bidirectional, request: nil, options: .init())
      #expect(try await stream.next() == nil)
      try await eventually { await tally.notes == ["Canceled"] }
      await client.close()
    }
  }

  // MARK: What neither implementation's tests ask

  @Test("half-close: a peer that ends its sending has gone, and its handlers are cancelled")
  func halfClose() async throws {
    let tally = Tally()
    let server = ServerStreamTests.server(tally)
    let (peer, _) = try await RawPeer.pair { try server.configure($0) }
    try await peer.write(
      frame(1, 1, request("t.S", "Hang")) + frame(1, 3, request("t.S", "Mute"), flags: 2))
    try await eventually { await tally.count == 2 }
    try await peer.channel.close(mode: .output)
    #expect(await peer.frame() == nil)
    try await eventually { await tally.notes.filter { $0 == "cancelled" }.count == 2 }
  }

  @Test("a disconnect in the middle of a frame ends the connection without an answer")
  func disconnectInFrame() async throws {
    let control = RPCServerControl()
    let server = ServerStreamTests.server()
    let (peer, _) = try await RawPeer.pair { try server.configure($0, control: control) }
    let whole = frame(1, 1, request("t.S", "Echo", hex("0a0161")))
    try await peer.write(Array(whole.dropLast()))
    try await peer.close()
    try await eventually { control.connections == 0 }
    #expect(await peer.frame() == nil)
  }

  @Test("many frames in one read, and frames of streams cut at every byte")
  func cutAndJoined() async throws {
    let server = ServerStreamTests.server()
    let (peer, _) = try await RawPeer.pair { try server.configure($0) }
    var all = frame(1, 1, request("t.S", "Bidi"), flags: 2)
    for _ in 0..<1_000 { all += frame(3, 1, hex("0a0178")) }
    all += frame(3, 1, flags: 5)
    try await peer.write(all)
    for _ in 0..<1_000 { #expect(await peer.frame()?.data == hex("0a0178")) }
    #expect(await peer.frame()?.flags == 5)
    let conversation =
      frame(1, 3, request("t.S", "Bidi"), flags: 2) + frame(3, 3, hex("0a0178"))
      + frame(3, 3, flags: 5)
    for byte in conversation { try await peer.write([byte]) }
    #expect(await peer.frame()?.data == hex("0a0178"))
    #expect(await peer.frame()?.flags == 5)
    try await peer.close()
  }
}
