import Hawsepipe
import NIOCore
import NIOPosix
import NIOTLS
import Synchronization
import TLSTransport
import Testing
import TransportCore

/// An end of a connection that TLS protects, in this process: what it heard, and how it ended.
struct TLSEnd: Sendable {
  enum Ending: Sendable {
    /// The peer said that it is done (close_notify).
    case said
    case failed(any Error)
    /// Closed without a word to the protocol: by this side.
    case closed
  }

  let channel: any Channel
  /// Who is at the other end, where it is our TLS that says so.
  var tls: TLSIdentity?
  private let heard: TLSHeard

  init(_ channel: any Channel, _ heard: TLSHeard, tls: TLSIdentity? = nil) {
    self.channel = channel
    self.heard = heard
    self.tls = tls
  }

  /// What was agreed on, once the handshake is through.
  var alpn: String? { heard.alpn }

  /// Dials through the registry.
  static func dial(
    _ address: String, with registry: TransportRegistry = .standard
  ) async throws -> TLSEnd {
    let heard = TLSHeard()
    let connection = try await registry.connect(
      to: registry.parse(address),
      options: ConnectOptions(timeout: .seconds(60), tryLimit: .seconds(60))
    ) { channel in
      try heard.listen(on: channel)
    }
    return TLSEnd(connection.channel, heard, tls: connection.peer.tls)
  }

  /// What a connection is refused with: by the connect, or right behind it.
  static func refusal(
    _ address: String, with registry: TransportRegistry = .standard
  ) async throws -> TLSError {
    do {
      let end = try await dial(address, with: registry)
      let ending = try await end.ending()
      await end.close()
      guard case .failed(let error as TLSError) = ending else {
        throw OpenSSLAuthority.Failure(description: "it was let in, and ended as \(ending)")
      }
      return error
    } catch let error as TransportError {
      #expect(error.code == .connectFailed)
      // People read this: whatever the layer says has to come through.
      let cause = try #require((error.cause ?? error.attempts.last?.failure.cause) as? TLSError)
      #expect("\(error)".contains(cause.message), "\(error)")
      return cause
    }
  }

  func send(_ text: String) async throws {
    try await channel.writeAndFlush(ByteBuffer(string: text))
  }

  /// Waits until it has heard this and nothing else.
  func hears(_ text: String) async throws {
    let bytes = Array(text.utf8)
    try await eventually("\(bytes.count) bytes heard", within: .seconds(120)) {
      heard.count >= bytes.count || heard.ending != nil
    }
    #expect(heard.bytes == bytes, "\(heard.count) bytes of \(bytes.count)")
  }

  func ending() async throws -> Ending {
    try await eventually("the end of a connection", within: .seconds(120)) { heard.ending != nil }
    return try #require(heard.ending)
  }

  /// Says that it sends no more, and goes on hearing.
  func closeOutput() async throws { try await channel.close(mode: .output).get() }

  func close() async {
    // Closed already is closed.
    try? await channel.close().get()
  }
}

/// What came on a connection.
final class TLSHeard: Sendable {
  private struct State {
    var bytes: [UInt8] = []
    var ending: TLSEnd.Ending?
    var alpn: String?
  }

  private let state = Mutex(State())

  var bytes: [UInt8] { state.withLock { $0.bytes } }
  var count: Int { state.withLock { $0.bytes.count } }
  var ending: TLSEnd.Ending? { state.withLock { $0.ending } }
  var alpn: String? { state.withLock { $0.alpn } }

  func listen(on channel: any Channel) throws {
    try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
    try channel.pipeline.syncOperations.addHandler(Handler(self))
  }

  private func end(_ ending: TLSEnd.Ending) {
    state.withLock { if $0.ending == nil { $0.ending = ending } }
  }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let heard: TLSHeard

    init(_ heard: TLSHeard) { self.heard = heard }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let buffer = unwrapInboundIn(data)
      heard.state.withLock { $0.bytes += buffer.readableBytesView }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      if event as? ChannelEvent == .inputClosed { heard.end(.said) }
      if case .handshakeCompleted(let agreed)? = event as? TLSUserEvent {
        heard.state.withLock { $0.alpn = agreed }
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      heard.end(.failed(error))
      context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { heard.end(.closed) }
  }
}

/// A listener of ours, while a test's body runs.
final class TLSListening: Sendable, ConnectionObserver {
  private let ends = Guarded<[TLSEnd]>([])
  private let refusals = Guarded<[String]>([])
  private let bound = Guarded<(any Listener)?>(nil)

  var port: Int {
    guard case .tcp(_, let port)? = bound.value?.boundAddress.place else { return 0 }
    return Int(port)
  }

  var statistics: ListenerStatistics { bound.value?.statistics ?? ListenerStatistics() }

  /// The connection that was let in as this one, from 0, once it is there.
  func end(_ index: Int = 0) async throws -> TLSEnd {
    try await eventually("connection \(index)", within: .seconds(120)) { ends.value.count > index }
    return ends.value[index]
  }

  var endCount: Int { ends.value.count }

  /// Why a peer was not let in, once one was not.
  func refusal(_ index: Int = 0) async throws -> String {
    try await eventually("refusal \(index)", within: .seconds(120)) { refusals.value.count > index }
    return refusals.value[index]
  }

  func observe(_ event: ConnectionEvent) {
    switch event.kind {
    case .refused(_, let reason), .acceptFailed(let reason):
      refusals.update { $0.append(reason) }
    default: break
    }
  }

  static func run<Value>(
    _ address: String, with registry: TransportRegistry = .standard, policy: PeerPolicy? = nil,
    _ body: (TLSListening) async throws -> Value
  ) async throws -> Value {
    let listening = TLSListening()
    let listener = try await registry.listen(
      at: registry.parse(address),
      options: ListenOptions(handshakeLimit: .seconds(60), observer: listening))
    listening.bound.set(listener)
    return try await withThrowingTaskGroup(of: Void.self) { group in
      let known = Guarded<[ObjectIdentifier: TLSHeard]>([:])
      group.addTask {
        try await listener.run(policy: policy) { channel in
          let heard = TLSHeard()
          known.update { $0[ObjectIdentifier(channel)] = heard }
          try heard.listen(on: channel)
        } onConnection: { connection in
          guard let heard = known.value[ObjectIdentifier(connection.channel)] else { return }
          listening.ends.update {
            $0.append(TLSEnd(connection.channel, heard, tls: connection.peer.tls))
          }
          // However it ended, it ended.
          try? await connection.channel.closeFuture.get()
        }
      }
      do {
        let value = try await body(listening)
        group.cancelAll()
        try await group.waitForAll()
        return value
      } catch {
        group.cancelAll()
        throw error
      }
    }
  }
}
