import NIOCore
import RPCCore

/// A client's stream as its connection knows it.
final class ClientStream: MessageStream<ClientHandler>, @unchecked Sendable {
  // @unchecked: what it adds to MessageStream is touched on the event loop only, `let`s aside.

  typealias Opening = UnsafeContinuation<RPCError?, Never>

  let method: RPCMethod
  let metadata: RPCMetadata
  let timeout: Duration?
  let deadline: NIODeadline?

  /// The Request's payload, until it is written.
  var request: ByteBuffer
  var machine: ClientStreamStateMachine
  /// Who waits for the stream to be opened.
  private var opening: Opening?

  init(
    method: RPCMethod, kind: RPCStreamKind, request: ByteBuffer, options: RPCCallOptions,
    handler: NIOLoopBound<ClientHandler>, loop: any EventLoop, account: ReceiveAccount
  ) {
    self.method = method
    self.request = request
    metadata = options.metadata
    timeout = options.timeout
    deadline = options.timeout.map { loop.now + TimeAmount(clamping: $0) }
    machine = ClientStreamStateMachine(kind)
    super.init(host: handler, loop: loop, account: account)
    if kind == .serverStreaming { withholdOutput() }
  }

  /// Gives the stream who waits for it; one that ended before resumes at once.
  ///
  /// - Returns: whether it is still to be opened.
  func begin(_ opening: Opening) -> Bool {
    guard !machine.hasEnded else {
      opening.resume(returning: .openCancelled(method))
      return false
    }
    self.opening = opening
    return true
  }

  /// Tells who waits that the stream is open, or why it is not.
  func opened(_ error: RPCError? = nil) {
    opening?.resume(returning: error)
    opening = nil
  }

  override func maySend() -> Bool { machine.send() }

  override func outputDrained(isFinished: Bool) {
    if isFinished, machine.finishSending() { host.value.writeEnd(id) }
  }
}

extension RPCError {
  static func openCancelled(_ method: RPCMethod) -> RPCError {
    RPCError(
      code: .cancelled, message: "\(method): the task that opened the stream was cancelled",
      reason: .cancelled)
  }

  static func streamCancelled(_ method: RPCMethod) -> RPCError {
    RPCError(
      code: .cancelled, message: "\(method): the stream was cancelled by this side",
      reason: .cancelled)
  }
}
