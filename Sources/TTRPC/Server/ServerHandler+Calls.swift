import NIOCore
import RPCCore
import TransportCore

/// How a server runs the handlers of unary calls. All of it on the event loop, but the handlers.
extension ServerHandler {
  func run(_ call: ServerCall, _ handler: @escaping RPCUnaryHandler, on execution: RPCExecution) {
    running += 1
    runningBytes += call.held
    switch execution {
    case .pool:
      guard let executor, let returns else { return }
      let connection = NIOLoopBound(self, eventLoop: executor.eventLoop)
      call.task = Task { returns.add(await call.run(handler), of: call, to: connection) }
    case .eventLoop: quick.append((call, handler))
    }
  }

  /// One task that runs quick handlers, one behind the other. A handler that suspends keeps it, and
  /// those behind get another.
  private final class QuickRunner: @unchecked Sendable {
    // @unchecked: it is touched on the loop only.

    var current: ServerCall?
    /// Its handler has suspended: the task is that call's own, which may be cancelled with it.
    var isLeft = false
  }

  /// Runs the quick handlers whose requests have come.
  ///
  /// - Returns: whether there were any.
  func runQuick() -> Bool {
    guard !quick.isEmpty, let executor else { return false }
    let connection = NIOLoopBound(self, eventLoop: executor.eventLoop)
    while !quick.isEmpty {
      let runner = QuickRunner()
      let task = Task.immediate(executorPreference: executor) {
        while let (call, handler) = connection.value.nextQuick(runner) {
          let result = await call.run(handler)
          guard executor.eventLoop.inEventLoop else {
            return executor.eventLoop.execute { connection.value.endedLater(call, result) }
          }
          guard !runner.isLeft else { return connection.value.endedLater(call, result) }
          _ = connection.value.ended(call, result)
        }
      }
      guard let call = runner.current else { break }
      runner.isLeft = true
      if !call.isAnswered { call.task = task }
    }
    return true
  }

  private func nextQuick(_ runner: QuickRunner) -> (ServerCall, RPCUnaryHandler)? {
    let next = quick.popFirst()
    runner.current = next?.0
    return next
  }

  private func endedLater(_ call: ServerCall, _ result: Result<ByteBuffer, RPCError>) {
    _ = ended(call, result)
    goOn()
  }

  /// Answers a call whose handler has returned.
  ///
  /// - Returns: whether ``goOn()`` must follow, and nobody has been told so before.
  func ended(_ call: ServerCall, _ result: Result<ByteBuffer, RPCError>) -> Bool {
    running -= 1
    runningBytes -= call.held
    guard let context else { return false }
    // While requests are served, that goes on anyway.
    let isFirst = !mustGoOn && !isServing
    if isFirst { mustGoOn = true }
    // A call that is not there was answered before: its deadline passed, or the peer broke it off.
    if machine.finish(call.id) != nil {
      // It has returned; there is nothing to cancel.
      call.task = nil
      settle(call)
      answer(call.id, result, context)
    }
    return isFirst
  }

  /// Makes use of the room that handlers have left by returning.
  func goOn() {
    guard mustGoOn, !isServing, let context else { return }
    serve(context)
    mustGoOn = false
    flush()
  }
}
