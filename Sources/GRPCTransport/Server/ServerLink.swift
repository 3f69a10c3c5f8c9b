#if GRPC
  internal import NIOCore
  internal import RPCCore
  internal import Synchronization

  /// A connection of ``GRPCListenerServer`` as its control sees it.
  final class ServerLink: ServedConnection {
    let channel: any Channel
    /// How many calls are open.
    let open = Atomic<Int>(0)

    var calls: Int { open.load(ordering: .relaxed) }

    init(_ channel: any Channel) { self.channel = channel }

    /// Says GOAWAY, and closes the connection behind its last call.
    func drain() {
      channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    }
  }
#endif
