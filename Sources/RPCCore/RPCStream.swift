public import NIOCore

/// How many messages go each way in a call that is not unary.
public enum RPCStreamKind: Sendable, Hashable {
  /// Many requests, one response.
  case clientStreaming
  /// One request, many responses.
  case serverStreaming
  /// Many requests, many responses, in any order.
  case bidirectional
}

/// One side of a streaming call, in encoded messages: what a protocol gives and takes.
///
/// Services and callers use the typed faces: ``RPCReader``, ``RPCWriter``,
/// ``RPCClientStreamingCall``, ``RPCBidirectionalCall``.
///
/// Its functions may be called from any task. One task may send while another receives; two that
/// send (or receive) at the same time get their turns in an order that nobody promises. When the
/// last reference to a client's stream goes, the stream is cancelled.
public protocol RPCStream: AnyObject, Sendable {
  /// Sends a message; waits for room if the peer or the network is slow.
  ///
  /// A send that waits is withdrawn when its task is cancelled: nothing of it will be sent, and the
  /// stream goes on.
  ///
  /// - Throws: ``RPCError``: what ended the stream; ``RPCCode/failedPrecondition`` after
  ///   ``finishSending()``; ``RPCCode/resourceExhausted`` with reason `.oversize` for a message that
  ///   the protocol cannot carry, which leaves the stream as it was.
  nonisolated(nonsending) func send(_ message: ByteBuffer) async throws(RPCError)

  /// Says that no message will follow. Doing so again does nothing.
  ///
  /// A server's side is finished by its handler's return instead.
  nonisolated(nonsending) func finishSending() async throws(RPCError)

  /// The next message from the peer, or nil when it has sent its last and the call has succeeded.
  ///
  /// A client-streaming call's one response comes as a message.
  ///
  /// - Throws: ``RPCError``: how the call failed; again each time it is asked. Reason `.cancelled`
  ///   when the waiting task is cancelled, which leaves the stream as it was.
  nonisolated(nonsending) func next() async throws(RPCError) -> ByteBuffer?

  /// Ends the call on this side: what waits fails with reason `.cancelled`.
  func cancel()
}
