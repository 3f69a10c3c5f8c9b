import NIOCore
import RPCCore

/// A call that a server has not answered yet. It belongs to its connection's event loop.
final class ServerCall {
  let id: UInt32
  let deadline: NIODeadline?
  /// The task that runs the handler; nil until it is made.
  var task: Task<Void, Never>?
  var isAnswered = false

  init(id: UInt32, deadline: NIODeadline?) {
    self.id = id
    self.deadline = deadline
  }
}

/// A request on its way into a handler.
struct ServerInvocation: Sendable {
  let handler: RPCUnaryHandler
  let payload: ByteBuffer
  let context: RPCServerContext

  /// Runs the handler. What it throws becomes an answer.
  nonisolated(nonsending) func run() async -> Result<ByteBuffer, RPCError> {
    do {
      return .success(try await handler(payload, context))
    } catch var error as RPCError {
      // A failure must not look like a success to the peer.
      if error.code == .ok { error.code = .unknown }
      return .failure(error)
    } catch is CancellationError {
      return .failure(RPCError(code: .cancelled, message: "context canceled"))
    } catch {
      return .failure(RPCError(code: .unknown, message: "\(error)", cause: error))
    }
  }
}
