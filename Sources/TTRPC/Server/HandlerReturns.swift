import NIOCore
import NIOPosix
import RPCCore
import Synchronization

/// Results of handlers that ran elsewhere, on their way back to the event loop of their connections.
///
/// To wake a loop costs more than most handlers do: what comes until it has woken travels together.
/// One serves all connections of a loop.
final class HandlerReturns: Sendable {
  private struct Item {
    let connection: NIOLoopBound<ServerHandler>
    let call: ServerCall
    let result: Result<ByteBuffer, RPCError>
  }

  private let eventLoop: any EventLoop
  private let items = Mutex<[Item]>([])

  private init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  /// That of the loop which the current thread runs.
  static func shared(on eventLoop: any EventLoop) -> HandlerReturns {
    // A thread may run another loop than before (tests do that).
    if let known = ofThisThread.currentValue, known.eventLoop === eventLoop { return known }
    let made = HandlerReturns(eventLoop)
    ofThisThread.currentValue = made
    return made
  }

  private static let ofThisThread = ThreadSpecificVariable<HandlerReturns>()

  func add(
    _ result: Result<ByteBuffer, RPCError>, of call: ServerCall,
    to connection: NIOLoopBound<ServerHandler>
  ) {
    let isFirst = items.withLock { items in
      items.append(Item(connection: connection, call: call, result: result))
      return items.count == 1
    }
    if isFirst { eventLoop.execute { self.deliver() } }
  }

  private func deliver() {
    let arrived = items.withLock { items in
      defer { items = [] }
      return items
    }
    // Each connection goes on once, when it has got all that is its.
    var delivered: [ServerHandler] = []
    for item in arrived {
      let connection = item.connection.value
      if connection.ended(item.call, item.result) { delivered.append(connection) }
    }
    for connection in delivered { connection.goOn() }
  }
}
