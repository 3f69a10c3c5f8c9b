public import NIOCore
public import RPCCore

extension TTRPCClient {
  /// Opens a stream.
  ///
  /// It is open when its Request has been written. Timeout and metadata travel with it for every
  /// kind; the timeout is for the whole stream and is kept on this side too. Cancelling the task
  /// that waits here withdraws a stream that is not open yet.
  ///
  /// The stream keeps the client: the connection stays while one of the two is held.
  ///
  /// - Throws: ``RPCError``. A request larger than 4 MiB fails with `.resourceExhausted`, reason
  ///   `.oversize`, and nothing of it is sent.
  public nonisolated(nonsending) func open(
    _ method: RPCMethod, kind: RPCStreamKind, request: ByteBuffer?, options: RPCCallOptions
  ) async throws(RPCError) -> any RPCStream {
    let loop = eventLoop
    let handler = handler
    let stream = ClientStream(
      method: method, kind: kind, request: request ?? ByteBuffer(), options: options,
      handler: handler, loop: loop, account: account)
    let error = await withTaskCancellationHandler {
      await withUnsafeContinuation { opening in
        if loop.inEventLoop {
          handler.value.start(stream, opening)
        } else {
          loop.execute { handler.value.start(stream, opening) }
        }
      }
    } onCancel: {
      loop.execute { handler.value.cancel(stream, .openCancelled(method)) }
    }
    if let error { throw error }
    return OpenStream(stream, of: self)
  }
}

/// A client's stream as its tasks hold it. When the last of them lets go, the stream is cancelled.
private final class OpenStream: RPCStream {
  private let stream: ClientStream
  private let client: TTRPCClient

  init(_ stream: ClientStream, of client: TTRPCClient) {
    self.stream = stream
    self.client = client
  }

  deinit { cancel() }

  nonisolated(nonsending) func send(_ message: ByteBuffer) async throws(RPCError) {
    try await stream.send(message)
  }

  nonisolated(nonsending) func finishSending() async throws(RPCError) { stream.finishSending() }

  nonisolated(nonsending) func next() async throws(RPCError) -> ByteBuffer? {
    try await stream.next()
  }

  func cancel() {
    let (stream, handler) = (stream, client.handler)
    stream.loop.execute { handler.value.cancel(stream, .streamCancelled(stream.method)) }
  }
}
