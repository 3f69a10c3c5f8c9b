internal import CLinux
internal import NIOCore
internal import Synchronization
internal import TransportCore
internal import VsockTransport

/// Asks servers who they think this machine is, and says what they answer.
enum Introduction {
  /// With services of this machine's own, which it reaches as its subjects say, and as CID 1 and its
  /// own CID.
  static func run(_ subjects: [Subject]) async throws {
    var own: UInt32 = 0
    let result = clinux_vsock_own_cid(&own)
    GuestPeer.say(result == 0 ? "is cid \(own)" : "does not know its CID: errno \(-result)")
    let services = Task { try await Services.run() }
    for subject in subjects {
      try await ask("\(subject)", subject.address)
    }
    try await ask("own cid") { TransportAddress(place: .vsock(cid: own, port: $0)) }
    services.cancel()
    // What the services' end says matters to nobody.
    _ = await services.result
  }

  private static func ask(_ whom: String, _ address: (UInt32) -> TransportAddress) async throws {
    for (port, kind) in [(Services.identifying, "anyone"), (Services.hostsAlone, "the host")] {
      let heard = try await hear(address(port))
      GuestPeer.say("\(whom), where \(kind) may connect, says: \(heard.isEmpty ? "-" : heard)")
    }
  }

  /// What a server says that closes then.
  private static func hear(_ address: TransportAddress) async throws -> String {
    let ear = Ear()
    let connection = try await VsockConnector().connect(
      to: address, options: ConnectOptions(timeout: .seconds(60), mode: .waitUntilReady())
    ) { try $0.pipeline.syncOperations.addHandler(EarHandler(ear)) }
    // Closed by the server.
    try? await connection.channel.closeFuture.get()
    return ear.text
  }
}

/// What was heard, until the end.
private final class Ear: Sendable {
  private let heard = Mutex("")

  var text: String { heard.withLock { $0 } }

  func hear(_ more: String) { heard.withLock { $0 += more } }
}

private final class EarHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let ear: Ear

  init(_ ear: Ear) { self.ear = ear }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    ear.hear(String(buffer: unwrapInboundIn(data)))
  }
}
