import NIOCore
import RPCCore

/// A server's stream: its handler's, and its connection's.
final class ServerStream: MessageStream<ServerHandler>, RPCStream, @unchecked Sendable {
  // @unchecked: what it adds to MessageStream is touched on the event loop only, `let`s aside.

  var machine: ServerStreamStateMachine
  /// What the handler came to, until that is written behind its messages.
  var result: Result<ByteBuffer?, RPCError>?
  /// Why the handler has given it up, if it has.
  var cancellation: RPCError?

  init(
    _ id: UInt32, _ kind: RPCStreamKind, host: NIOLoopBound<ServerHandler>, loop: any EventLoop,
    account: ReceiveAccount
  ) {
    machine = ServerStreamStateMachine(kind)
    super.init(host: host, loop: loop, account: account)
    self.id = id
  }

  override func maySend() -> Bool { machine.send() }

  override func outputDrained(isFinished: Bool) {
    guard let result else { return }
    host.value.conclude(self, result)
  }

  /// Ends the stream for its handler, whose task is cancelled. What the handler then throws is what
  /// the peer is told.
  func cancel() {
    let host = host
    loop.execute { host.value.cancel(self, .streamCancelled) }
  }
}

extension RPCError {
  fileprivate static var streamCancelled: RPCError {
    RPCError(
      code: .cancelled, message: "the stream was cancelled by its handler", reason: .cancelled)
  }
}
