import NIOCore
import NIOTLS
import TransportCore

/// A connection whose events are read one by one.
struct TestConnection {
  enum Event: Sendable {
    case active
    case handshake(String?)
    case bytes([UInt8])
    case inputClosed
    case error(any Error)
    case inactive
  }

  let connection: Connection
  private let events: AsyncStream<Event>

  init(
    _ connector: any Connector, _ address: TransportAddress,
    _ options: ConnectOptions = ConnectOptions(), halfClosure: Bool = true
  ) async throws {
    let (events, sink) = AsyncStream<Event>.makeStream()
    self.events = events
    connection = try await connector.connect(to: address, options: options) { channel in
      if halfClosure {
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
      }
      try channel.pipeline.syncOperations.addHandler(Recorder(sink))
    }
  }

  var tls: TLSIdentity? { connection.peer.tls }

  func next() async -> Event? {
    for await event in events { return event }
    return nil
  }

  /// Bytes until there are so many, or the end.
  func read(_ count: Int) async -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count, let event = await next() {
      if case .bytes(let more) = event { bytes += more }
      if case .inactive = event { break }
      if case .inputClosed = event { break }
    }
    return bytes
  }

  func write(_ bytes: [UInt8]) async throws {
    try await connection.channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
  }

  func echo(_ text: String) async throws -> String {
    try await write(Array(text.utf8))
    return String(decoding: await read(text.utf8.count), as: UTF8.self)
  }

  /// The error that ended it, or nil for a clean end.
  func ending() async -> (any Error)? {
    while let event = await next() {
      switch event {
      case .error(let error): return error
      case .inactive, .inputClosed: return nil
      default: break
      }
    }
    return nil
  }

  func close() async {
    // Closed already is closed.
    try? await connection.channel.close().get()
  }
}

private final class Recorder: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let sink: AsyncStream<TestConnection.Event>.Continuation

  init(_ sink: AsyncStream<TestConnection.Event>.Continuation) { self.sink = sink }

  func channelActive(context: ChannelHandlerContext) { sink.yield(.active) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    sink.yield(.bytes(Array(unwrapInboundIn(data).readableBytesView)))
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case TLSUserEvent.handshakeCompleted(let name)? = event as? TLSUserEvent {
      sink.yield(.handshake(name))
    }
    if case ChannelEvent.inputClosed? = event as? ChannelEvent { sink.yield(.inputClosed) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { sink.yield(.error(error)) }

  func channelInactive(context: ChannelHandlerContext) {
    sink.yield(.inactive)
    sink.finish()
  }
}
