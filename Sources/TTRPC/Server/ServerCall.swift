import NIOCore
import RPCCore

/// A call that a server has not answered yet. It belongs to its connection's event loop; its handler
/// reads the constants.
final class ServerCall: @unchecked Sendable {
  // @unchecked: what is mutable is touched on the loop only.

  let id: UInt32
  let deadline: NIODeadline?
  /// A stream's is not kept here: it is its first message.
  let payload: ByteBuffer
  let context: RPCServerContext
  /// What it keeps of its request, in bytes.
  let held: Int
  /// What there is of it beside a call, if it is not unary.
  var stream: ServerStream?
  /// The task that runs the handler; nil until it is made, and while it cannot be cancelled since it
  /// has the loop.
  var task: Task<Void, Never>?
  var isAnswered = false

  init(
    id: UInt32, deadline: NIODeadline?, payload: ByteBuffer, context: RPCServerContext, held: Int
  ) {
    self.held = held
    self.id = id
    self.deadline = deadline
    self.payload = payload
    self.context = context
  }

  /// Runs the handler. What it throws becomes an answer.
  nonisolated(nonsending) func run(
    _ handler: RPCUnaryHandler
  ) async -> Result<ByteBuffer, RPCError> {
    do {
      return .success(try await handler(payload, context))
    } catch {
      return .failure(RPCError(error))
    }
  }
}

/// A stream on its way into a handler.
struct ServerStreamInvocation: Sendable {
  let handler: RPCStreamHandler
  let stream: ServerStream
  let context: RPCServerContext

  /// Runs the handler. What it throws becomes an answer.
  nonisolated(nonsending) func run() async -> Result<ByteBuffer?, RPCError> {
    do {
      return .success(try await handler(stream, context))
    } catch {
      return .failure(RPCError(error))
    }
  }
}
