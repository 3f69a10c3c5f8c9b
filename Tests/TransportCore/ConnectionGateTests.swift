import NIOCore
import NIOEmbedded
import Testing
import TransportCore

/// Notes what reaches it, and does what a test wants done there.
private final class Recorder: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  var seen: [String] = []
  var onActive: ((ChannelHandlerContext) -> Void)?
  var onRead: ((String, ChannelHandlerContext) -> Void)?

  func channelActive(context: ChannelHandlerContext) {
    seen.append("active")
    onActive?(context)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let text = String(buffer: unwrapInboundIn(data))
    seen.append(text)
    onRead?(text, context)
  }

  func channelReadComplete(context: ChannelHandlerContext) { seen.append("complete") }
  func channelInactive(context: ChannelHandlerContext) { seen.append("inactive") }
  func handlerRemoved(context: ChannelHandlerContext) { seen.append("removed") }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { seen.append("error") }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    seen.append("event \(event)")
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    seen.append(context.channel.isWritable ? "writable" : "unwritable")
  }

  static func write(_ text: String, _ context: ChannelHandlerContext) {
    context.writeAndFlush(NIOAny(ByteBuffer(string: text)), promise: nil)
  }
}

/// Counts what asks for reads and notes ends of the output.
private final class Transport: ChannelOutboundHandler {
  typealias OutboundIn = ByteBuffer

  var reads = 0
  var seen: [String] = []

  func read(context: ChannelHandlerContext) {
    reads += 1
    context.read()
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    seen.append(String(buffer: unwrapOutboundIn(data)))
    context.write(data, promise: promise)
  }

  func flush(context: ChannelHandlerContext) {
    seen.append("flush")
    context.flush()
  }

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    seen.append("close \(mode)")
    if mode == .all { context.close(mode: mode, promise: promise) } else { promise?.succeed() }
  }
}

@Suite struct ConnectionGateTests {
  private let transport = Transport()
  private let gate = ConnectionGate()
  private let recorder = Recorder()

  private func makeChannel(_ gates: [ConnectionGate]? = nil) throws -> EmbeddedChannel {
    let channel = EmbeddedChannel()
    let pipeline = channel.pipeline.syncOperations
    try pipeline.addHandler(transport)
    for gate in gates ?? [gate] { try pipeline.addHandler(gate) }
    try pipeline.addHandler(recorder)
    return channel
  }

  private func connect(_ channel: EmbeddedChannel) throws {
    try channel.connect(to: SocketAddress(unixDomainSocketPath: "/x")).wait()
  }

  private func isGone(_ gate: ConnectionGate, _ channel: EmbeddedChannel) -> Bool {
    (try? channel.pipeline.syncOperations.context(handler: gate)) == nil
  }

  private struct Broken: Error {}

  @Test("What comes before the gate opens is passed on in order, behind channelActive")
  func order() throws {
    let channel = try makeChannel()
    try connect(channel)
    try channel.writeInbound(ByteBuffer(string: "one"))
    channel.pipeline.fireUserInboundEventTriggered("x")
    channel.pipeline.fireErrorCaught(Broken())
    try channel.writeInbound(ByteBuffer(string: "two"))
    #expect(recorder.seen.isEmpty)
    gate.open()
    #expect(
      recorder.seen == ["active", "one", "complete", "event x", "error", "two", "complete"])
    #expect(isGone(gate, channel))
    try channel.writeInbound(ByteBuffer(string: "three"))
    #expect(recorder.seen.suffix(2) == ["three", "complete"])
    _ = try channel.finish()
  }

  @Test("A gate that is opened before the channel is active opens with it")
  func openFirst() throws {
    let channel = try makeChannel()
    gate.open()
    #expect(recorder.seen.isEmpty)
    try connect(channel)
    #expect(recorder.seen == ["active"])
    #expect(isGone(gate, channel))
    gate.open()
    #expect(recorder.seen == ["active"])
    _ = try channel.finish()
  }

  @Test("Nothing behind a closed gate asks for reads; they are asked for when it opens")
  func reads() throws {
    let channel = try makeChannel()
    try connect(channel)
    let before = transport.reads
    channel.read()
    channel.read()
    #expect(transport.reads == before)
    gate.open()
    #expect(transport.reads == before + 1)
    _ = try channel.finish()
  }

  @Test("Writes wait for the gate, the end of the output behind them, and go before channelActive")
  func writes() throws {
    let channel = try makeChannel()
    try connect(channel)
    recorder.onActive = { Recorder.write("from active", $0) }
    channel.write(ByteBuffer(string: "one"), promise: nil)
    channel.flush()
    channel.writeAndFlush(ByteBuffer(string: "two"), promise: nil)
    channel.close(mode: .output, promise: nil)
    #expect(transport.seen.isEmpty)
    gate.open()
    #expect(
      transport.seen == ["one", "flush", "two", "flush", "close output", "from active", "flush"])
    _ = try channel.finish()
  }

  @Test("A write made while kept ones go out does not overtake them")
  func reentrantWrites() throws {
    let channel = try makeChannel()
    try connect(channel)
    let promise = channel.eventLoop.makePromise(of: Void.self)
    promise.futureResult.assumeIsolated().whenSuccess {
      channel.writeAndFlush(ByteBuffer(string: "in between"), promise: nil)
    }
    channel.writeAndFlush(ByteBuffer(string: "one"), promise: promise)
    channel.writeAndFlush(ByteBuffer(string: "two"), promise: nil)
    gate.open()
    #expect(transport.seen == ["one", "flush", "two", "flush", "in between", "flush"])
    _ = try channel.finish()
  }

  @Test("What comes in while held reads are passed on goes behind them")
  func reentrantReads() throws {
    let channel = try makeChannel()
    try connect(channel)
    recorder.onRead = { text, context in
      guard text == "one" else { return }
      context.pipeline.fireChannelRead(ByteBuffer(string: "three"))
      Recorder.write("answer", context)
    }
    try channel.writeInbound(ByteBuffer(string: "one"))
    try channel.writeInbound(ByteBuffer(string: "two"))
    gate.open()
    #expect(
      recorder.seen == ["active", "one", "complete", "two", "complete", "three"])
    #expect(transport.seen == ["answer", "flush"])
    _ = try channel.finish()
  }

  @Test("A close during the passing on comes behind what was held")
  func closeWhileReplaying() throws {
    let channel = try makeChannel()
    try connect(channel)
    recorder.onRead = { text, context in
      if text == "one" { context.close(promise: nil) }
    }
    try channel.writeInbound(ByteBuffer(string: "one"))
    try channel.writeInbound(ByteBuffer(string: "two"))
    gate.open()
    channel.embeddedEventLoop.run()
    #expect(
      recorder.seen == ["active", "one", "complete", "two", "complete", "inactive", "removed"])
  }

  @Test("A channel that closes before the gate opens never began: its writes fail")
  func closeWhileHolding() throws {
    let channel = try makeChannel()
    try connect(channel)
    try channel.writeInbound(ByteBuffer(string: "one"))
    let written = channel.writeAndFlush(ByteBuffer(string: "secret"))
    let ended = channel.close(mode: .output)
    try channel.close().wait()
    channel.embeddedEventLoop.run()
    #expect(recorder.seen == ["removed"])
    #expect(transport.seen == ["close all"])
    #expect(throws: ChannelError.self) { try written.wait() }
    #expect(throws: ChannelError.self) { try ended.wait() }
    gate.open()
    #expect(recorder.seen == ["removed"])
  }

  @Test("A gate that somebody takes out lets nothing through that it held")
  func removal() throws {
    let channel = try makeChannel()
    try connect(channel)
    try channel.writeInbound(ByteBuffer(string: "one"))
    let written = channel.writeAndFlush(ByteBuffer(string: "two"))
    channel.pipeline.syncOperations.removeHandler(gate, promise: nil)
    #expect(throws: ChannelError.self) { try written.wait() }
    gate.open()
    #expect(recorder.seen.isEmpty)
    #expect(transport.seen.isEmpty)
    _ = try channel.finish()
  }

  @Test(
    "Gates behind one another open one after the other, in either order", arguments: [true, false])
  func nested(innerFirst: Bool) throws {
    let inner = ConnectionGate()
    let channel = try makeChannel([gate, inner])
    try connect(channel)
    try channel.writeInbound(ByteBuffer(string: "one"))
    channel.writeAndFlush(ByteBuffer(string: "out"), promise: nil)
    (innerFirst ? inner : gate).open()
    #expect(recorder.seen.isEmpty)
    #expect(transport.seen.isEmpty)
    (innerFirst ? gate : inner).open()
    #expect(recorder.seen == ["active", "one", "complete"])
    #expect(transport.seen == ["out", "flush"])
    #expect(isGone(gate, channel) && isGone(inner, channel))
    _ = try channel.finish()
  }

  @Test("A change of writability is told behind channelActive")
  func writability() throws {
    let channel = try makeChannel()
    try connect(channel)
    channel.isWritable = false
    channel.pipeline.fireChannelWritabilityChanged()
    #expect(recorder.seen.isEmpty)
    gate.open()
    #expect(recorder.seen == ["active", "unwritable"])
    _ = try channel.finish()
  }

  @Test("A socket's peer is announced to nobody behind a gate: somebody else says there who it is")
  func announcement() throws {
    let channel = try makeChannel()
    channel.pipeline.fireUserInboundEventTriggered(PeerAnnouncement(PeerIdentity()))
    try connect(channel)
    gate.open()
    #expect(recorder.seen == ["active"])
    _ = try channel.finish()
  }
}
