internal import NIOCore
internal import RPCCore
internal import Synchronization

/// A connection of ``TTRPCServer`` as its control sees it.
final class ServerConnection: ServedConnection {
  let channel: any Channel
  private let handler: NIOLoopBound<ServerHandler>
  /// How many calls are open; the handler writes it.
  let open = Atomic<Int>(0)

  var calls: Int { open.load(ordering: .relaxed) }

  /// On the channel's event loop.
  init(_ channel: any Channel, _ handler: ServerHandler) {
    self.channel = channel
    self.handler = NIOLoopBound(handler, eventLoop: channel.eventLoop)
  }

  func drain() {
    let handler = handler
    channel.eventLoop.execute { handler.value.drain() }
  }
}
