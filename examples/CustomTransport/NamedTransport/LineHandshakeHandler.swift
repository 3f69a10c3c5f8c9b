internal import NIOCore
internal import TransportCore

/// Reads one line in front of a ``ConnectionGate``, decides by it whether the connection may begin,
/// and then is out of the way. Both sides use it.
///
/// It consumes the line and not a byte more: what the peer sent right behind it is the protocol's.
final class LineHandshakeHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundOut = ByteBuffer

  enum Decision {
    /// The connection begins; this is sent before anything else.
    case begin(reply: String)
    /// The connection is closed behind the reply.
    case fail(AttemptFailure, reply: String)
  }

  /// The most bytes of a line. Whoever sends more does not speak this protocol.
  private static let limit = 128

  private let opening: String
  private let timeLimit: TimeAmount
  private let gate: ConnectionGate
  private let result: EventLoopPromise<Void>
  private let decide: (String) -> Decision
  private var line = ByteBuffer()
  private var isDecided = false
  private var timer: Scheduled<Void>?

  /// - Parameters:
  ///   - opening: what this side says first, if anything.
  ///   - result: succeeds when the gate is open; fails with an `AttemptFailure`, whatever happens.
  ///   - decide: what a line means.
  init(
    opening: String, timeLimit: Duration, gate: ConnectionGate, result: EventLoopPromise<Void>,
    decide: @escaping (String) -> Decision
  ) {
    self.opening = opening
    self.timeLimit = TimeAmount(min(timeLimit, .seconds(3600)))
    self.gate = gate
    self.result = result
    self.decide = decide
  }

  func channelActive(context: ChannelHandlerContext) {
    // The gate keeps it until it opens.
    context.fireChannelActive()
    if !opening.isEmpty { send(opening, context) }
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleTask(in: timeLimit) {
      let (handler, context) = bound.value
      handler.fail("the peer said nothing in time", .notReady, context)
    }
    // The gate asks for no reads, so this handler does.
    context.read()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isDecided else { return context.fireChannelRead(data) }
    var bytes = unwrapInboundIn(data)
    while let byte = bytes.readInteger(as: UInt8.self) {
      if byte == UInt8(ascii: "\n") { return act(decide(String(buffer: line)), bytes, context) }
      line.writeInteger(byte)
      guard line.readableBytes <= Self.limit else {
        return fail("the peer speaks another protocol: its line has no end", .fatal, context)
      }
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    context.fireChannelReadComplete()
    if !isDecided { context.read() }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event as? ChannelEvent == .inputClosed { ended(context) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    fail("\(error)", .notReady, context)
    context.fireErrorCaught(error)
  }

  func channelInactive(context: ChannelHandlerContext) {
    ended(context)
    context.fireChannelInactive()
  }

  // The last chance: a promise must not be left without an answer.
  func handlerRemoved(context: ChannelHandlerContext) { ended(context) }

  // MARK: Deciding, once

  private func act(_ decision: Decision, _ rest: ByteBuffer, _ context: ChannelHandlerContext) {
    switch decision {
    case .begin(let reply):
      decided()
      if !reply.isEmpty { send(reply, context) }
      // In the same event: a peer that sends and closes at once must not be missed.
      gate.open()
      result.succeed(())
      if rest.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(rest)) }
    case .fail(let failure, let reply):
      decided()
      if !reply.isEmpty { send(reply, context) }
      result.fail(failure)
      context.close(promise: nil)
    }
  }

  private func ended(_ context: ChannelHandlerContext) {
    fail("the peer hung up before it agreed", .notReady, context)
  }

  private func fail(
    _ message: String, _ outlook: AttemptFailure.Outlook, _ context: ChannelHandlerContext
  ) {
    guard !isDecided else { return }
    let failure = AttemptFailure(phase: .handshake, message: message, outlook: outlook)
    act(.fail(failure, reply: ""), ByteBuffer(), context)
  }

  private func decided() {
    isDecided = true
    timer?.cancel()
    line.clear()
  }

  private func send(_ text: String, _ context: ChannelHandlerContext) {
    // One that cannot be sent is followed by an error or the end, which are told above.
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
  }
}
