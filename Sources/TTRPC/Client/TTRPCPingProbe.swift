internal import NIOCore
internal import RPCCore
internal import Synchronization
public import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

extension ReadinessProbe {
  /// Asks for a sign of life in ttrpc that needs no service: sends a request that no server may take
  /// and expects the error it must answer with.
  ///
  /// The request has no data and an even stream, which only servers may open (ttrpc PROTOCOL.md,
  /// "Stream ID"). Go's servers, Rust's asynchronous one and ours refuse the number, Rust's
  /// synchronous one the service without a name; all answer on the same stream and go on.
  ///
  /// A peer that closes or breaks the connection instead is not ready yet. One that says something
  /// else does not speak ttrpc, and is not tried again.
  public static let ttrpcPing = ReadinessProbe(
    name: "ttrpc ping", makeState: { PingAnswer() },
    configure: { channel, answer in
      let promise = channel.eventLoop.makePromise(of: Void.self)
      answer.future.withLock { $0 = promise.futureResult }
      do {
        try channel.pipeline.syncOperations.addHandler(TTRPCPingHandler(promise))
      } catch {
        promise.fail(error)
        throw error
      }
    },
    check: { _, answer in
      // A connector that never configured its channel is no connector.
      guard let future = answer.future.withLock({ $0 }) else { throw TTRPCPing.closed }
      try await future.get()
    })
}

/// What the handler of a try will have found out.
private final class PingAnswer: Sendable {
  let future = Mutex<EventLoopFuture<Void>?>(nil)
}

/// What a ping sends and what may come back. No I/O.
struct TTRPCPing {
  static let request = ByteBuffer(bytes: [0, 0, 0, 0, 0, 0, 0, 2, FrameType.request.rawValue, 0])
  private static let streamID: UInt32 = 2
  /// An error's text has no limit but the frame's. No server's answer here comes near this.
  private static let longest = 64 << 10

  private var received = ByteBuffer()

  enum Verdict {
    case answered
    case incomplete
    case failed(AttemptFailure)
  }

  mutating func receive(_ bytes: ByteBuffer) -> Verdict {
    var bytes = bytes
    received.writeBuffer(&bytes)
    var frame = received
    guard
      let (length, streamID, type, _) = frame.readMultipleIntegers(
        as: (UInt32, UInt32, UInt8, UInt8).self)
    else {
      // Every frame that may come is shorter than 2^24: the first byte tells other protocols apart.
      let isOdd = received.getInteger(at: received.readerIndex, as: UInt8.self) ?? 0 != 0
      return isOdd ? .failed(Self.otherProtocol) : .incomplete
    }
    guard length <= Self.longest, streamID == Self.streamID,
      type == FrameType.response.rawValue
    else { return .failed(Self.otherProtocol) }
    guard let data = frame.readSlice(length: Int(length)) else { return .incomplete }
    do throws(WireError) {
      let isError = try ResponseEnvelope(decoding: data).code != .ok
      return isError ? .answered : .failed(Self.otherProtocol)
    } catch {
      return .failed(Self.otherProtocol)
    }
  }

  static let closed = AttemptFailure(
    phase: .probe, message: "the peer closed the connection without an answer to the ping",
    outlook: .notReady)

  static let otherProtocol = AttemptFailure(
    phase: .probe, errno: EPROTO, message: "the peer does not answer as a ttrpc server does",
    outlook: .fatal, hint: "see what listens there, and which protocol it speaks")
}

/// Sends the ping and waits for its answer.
final class TTRPCPingHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private var ping = TTRPCPing()
  private let answered: EventLoopPromise<Void>
  private var failure: AttemptFailure?

  /// - Parameter answered: kept when the answer comes, and failed at the latest when the handler is
  ///   removed.
  init(_ answered: EventLoopPromise<Void>) { self.answered = answered }

  func handlerRemoved(context: ChannelHandlerContext) {
    answered.fail(failure ?? TTRPCPing.closed)
  }

  func channelActive(context: ChannelHandlerContext) {
    context.writeAndFlush(wrapOutboundOut(TTRPCPing.request), promise: nil)
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch ping.receive(unwrapInboundIn(data)) {
    case .answered: answered.succeed()
    case .incomplete: break
    case .failed(let failure): answered.fail(failure)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    let number = (error as? IOError)?.errnoCode ?? 0
    failure = AttemptFailure(
      phase: .probe, errno: number, message: "the connection broke during the ping: \(error)",
      outlook: .notReady, cause: error)
    context.close(promise: nil)
  }
}
