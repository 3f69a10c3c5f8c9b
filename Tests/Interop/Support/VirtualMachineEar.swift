import HybridVsockTransport
import NIOCore
import TransportCore

/// What a peer said until it closed, and who it was.
struct Heard: Sendable {
  var text: String
  var peer: PeerIdentity
}

/// Connects to somebody who speaks first, and listens until the peer closes.
func hear(
  _ address: TransportAddress, _ options: ConnectOptions = ConnectOptions()
) async throws -> Heard {
  let ear = Ear()
  let connection = try await HybridVsockConnector().connect(to: address, options: options) {
    try $0.pipeline.syncOperations.addHandler(EarHandler(ear))
  }
  _ = try await within(.seconds(60), "the peer's close of \(address)") {
    try await connection.channel.closeFuture.get()
  }
  return Heard(text: ear.text, peer: connection.peer)
}

/// Collects what a connection brings.
final class Ear: Sendable {
  private let heard = Guarded(ByteBuffer())
  private let ended = Guarded(false)

  var bytes: ByteBuffer { heard.value }
  var text: String { String(buffer: heard.value) }
  /// The peer says nothing more.
  var hasEnded: Bool { ended.value }

  fileprivate func hear(_ bytes: ByteBuffer) { heard.update { $0.writeImmutableBuffer(bytes) } }
  fileprivate func end() { ended.set(true) }
}

final class EarHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let ear: Ear

  init(_ ear: Ear) { self.ear = ear }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    ear.hear(unwrapInboundIn(data))
  }

  func channelInactive(context: ChannelHandlerContext) {
    ear.end()
    context.fireChannelInactive()
  }

  /// A broken connection is an end, too.
  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}
