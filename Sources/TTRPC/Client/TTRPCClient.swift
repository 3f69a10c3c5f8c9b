public import NIOCore
public import RPCCore
public import SwiftProtobuf
public import TransportCore

/// A ttrpc client over one connection.
///
/// Calls may be made from any task, any number at once; their answers come in any order. A call
/// costs least from a task that runs on the connection's event loop: see ``withTTRPCClient(to:using:options:configuration:isolation:_:)``
/// and ``executor``.
///
/// There is no reconnecting: once the connection is gone every call fails, those under way and
/// those to come, with reason `.connectionClosed`. The connection is closed by ``close()`` or when
/// the last reference goes. The event loop must outlive the client.
public final class TTRPCClient: RPCCaller, Sendable {
  public struct Configuration: Sendable {
    /// Called once, when the connection has ended and all of its calls have failed: with the
    /// reason, or nil if ``TTRPCClient/close()`` was it. It runs on the event loop and must not
    /// block.
    public var onClose: (@Sendable (RPCError?) -> Void)?
    /// What the connection's streams may hold.
    public var streams: TTRPCStreamBudget

    public init(
      streams: TTRPCStreamBudget = TTRPCStreamBudget(),
      onClose: (@Sendable (RPCError?) -> Void)? = nil
    ) {
      self.streams = streams
      self.onClose = onClose
    }
  }

  let connection: Connection
  let handler: NIOLoopBound<ClientHandler>
  let account: ReceiveAccount
  /// Runs tasks on the connection's event loop, for those who cannot use
  /// ``withTTRPCClient(to:using:options:configuration:isolation:_:)``.
  public let executor: EventLoopTaskExecutor

  init(
    connection: Connection, handler: ClientHandler, executor: EventLoopTaskExecutor
  ) {
    self.connection = connection
    self.handler = NIOLoopBound(handler, eventLoop: connection.channel.eventLoop)
    account = handler.watch.account
    self.executor = executor
  }

  deinit {
    let handler = handler
    eventLoop.execute { handler.value.close() }
  }

  /// Who is at the other end.
  public var peer: PeerIdentity { connection.peer }
  /// The address that was connected to.
  public var address: TransportAddress { connection.address }
  /// How long each phase of connecting took.
  public var timings: [PhaseTiming] { connection.timings }
  public var isConnected: Bool { connection.channel.isActive }

  var eventLoop: any EventLoop { connection.channel.eventLoop }

  /// Sends one message and waits for one.
  ///
  /// The timeout travels as ttrpc's `timeout_nano` and is kept on this side too; an answer that
  /// comes later is ignored. Cancelling the task ends the call at once on this side. ttrpc has no
  /// way to tell the server, which goes on until its own deadline.
  ///
  /// - Throws: ``RPCError``. A message whose request is larger than 4 MiB fails with
  ///   `.resourceExhausted`, reason `.oversize`, and nothing of it is sent.
  public nonisolated(nonsending) func unary<Request: Message, Response: Message>(
    _ method: RPCMethod, _ request: Request, returning response: Response.Type,
    options: RPCCallOptions
  ) async throws(RPCError) -> Response {
    let payload = try request.encoded(for: method)
    // Not by way of `call`: each async function on the way costs a check of the executor.
    let answer = try Self.payload(
      of: try await exchange(method, payload: payload, options: options), method)
    return try Response(answering: method, answer)
  }

  /// A unary call of encoded messages, for tools that do not know their types.
  ///
  /// - Parameter payload: the request message, encoded.
  /// - Returns: the response message, encoded.
  public nonisolated(nonsending) func call(
    _ method: RPCMethod, payload: ByteBuffer, options: RPCCallOptions
  ) async throws(RPCError) -> ByteBuffer {
    try Self.payload(
      of: try await exchange(method, payload: payload, options: options), method)
  }

  /// The message within a Response frame's data.
  private static func payload(
    of body: ByteBuffer, _ method: RPCMethod
  ) throws(RPCError) -> ByteBuffer {
    let answer: ResponseEnvelope
    do throws(WireError) {
      answer = try ResponseEnvelope(decoding: body)
    } catch {
      throw RPCError(
        code: .internal, message: "\(method): the peer's Response cannot be read",
        reason: .encoding, cause: error)
    }
    guard answer.code == .ok else {
      throw RPCError(code: answer.code, message: answer.message, details: answer.details)
    }
    return answer.payload
  }

  /// Sends a Request frame and waits for the body of its Response frame.
  private nonisolated(nonsending) func exchange(
    _ method: RPCMethod, payload: ByteBuffer, options: RPCCallOptions
  ) async throws(RPCError) -> ByteBuffer {
    var head = RequestHead(method: method, metadata: options.metadata)
    // What the timeout takes depends on the moment of sending: the handler has the last word.
    if options.timeout != nil { head.timeoutNanoseconds = 1 }
    let size = head.envelopeSize(payload: payload.readableBytes)
    guard size <= FrameHeader.maximumLength else { throw .oversize(size) }

    let loop = eventLoop
    let call = ClientCall(
      method: method, metadata: options.metadata, timeout: options.timeout,
      deadline: options.timeout.map { loop.now + TimeAmount(clamping: $0) }, payload: payload)
    let handler = handler
    let outcome = await withTaskCancellationHandler {
      await withUnsafeContinuation { continuation in
        if loop.inEventLoop {
          handler.value.start(call, continuation)
        } else {
          loop.execute { handler.value.start(call, continuation) }
        }
      }
    } onCancel: {
      loop.execute { handler.value.cancel(call) }
    }
    return try outcome.get()
  }

  /// Closes the connection and waits until that is done. Calls under way fail with reason
  /// `.connectionClosed`. Closing again does nothing.
  public func close() async {
    let handler = handler
    eventLoop.execute { handler.value.close() }
    // A channel's close future cannot fail.
    try? await connection.channel.closeFuture.get()
  }

  /// Waits until the connection has ended, whoever ended it, and `onClose` has run. Returns early
  /// when the task is cancelled.
  public func waitUntilClosed() async {
    let handler = handler
    let loop = eventLoop
    let token = ClientClosure.Token()
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        loop.execute { handler.value.awaitClose(token, continuation) }
      }
    } onCancel: {
      loop.execute { handler.value.stopAwaiting(token) }
    }
  }

  /// How many calls the connection still holds: none once all have ended, however they ended.
  var pendingCalls: Int {
    get async {
      let handler = handler
      // Reading a number cannot fail, and the loop outlives the client.
      return (try? await eventLoop.submit { handler.value.pendingCalls }.get()) ?? 0
    }
  }
}

extension TimeAmount {
  /// A century is for ever: deadlines are added to clocks, which must not overflow.
  private static let longest = Duration.seconds(100 * 366 * 86_400)

  init(clamping duration: Duration) {
    let (seconds, attoseconds) = min(max(duration, .zero), Self.longest).components
    self = .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
  }
}
