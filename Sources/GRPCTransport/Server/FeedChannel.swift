#if GRPC
  internal import GRPCNIOTransportHTTP2Posix
  internal import NIOCore

  /// What the library takes for a listening channel: it accepts one connection and is closed.
  ///
  /// Our listeners accept by themselves, and know the peer before the library sees a byte of it; but
  /// the library takes connections from nothing but a channel that it believes to listen.
  final class FeedChannel: Channel, ChannelCore, @unchecked Sendable {
    // @unchecked: what is mutable is touched on the event loop only; `channelPipeline` is set in the
    // initialiser and never again.
    typealias Accepted = HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel

    let eventLoop: any EventLoop
    let allocator = ByteBufferAllocator()
    private let closed: EventLoopPromise<Void>
    private var channelPipeline: ChannelPipeline!
    private var isOpen = true

    /// On the event loop, where it is only ever used.
    private init(_ eventLoop: any EventLoop) {
      self.eventLoop = eventLoop
      closed = eventLoop.makePromise()
      channelPipeline = ChannelPipeline(channel: self)
    }

    /// On the event loop.
    static func accepting(
      _ connection: Accepted, on eventLoop: any EventLoop
    ) throws -> NIOAsyncChannel<Accepted, Never> {
      let channel = FeedChannel(eventLoop)
      let asynchronous = try NIOAsyncChannel<Accepted, Never>(
        wrappingChannelSynchronously: channel,
        configuration: .init(inboundType: Accepted.self, outboundType: Never.self))
      let pipeline = channel.pipeline.syncOperations
      pipeline.fireChannelActive()
      pipeline.fireChannelRead(NIOAny(connection))
      pipeline.fireChannelReadComplete()
      channel.finish()
      return asynchronous
    }

    private func finish() {
      guard isOpen else { return }
      isOpen = false
      channelPipeline.syncOperations.fireChannelInactive()
      closed.succeed()
    }

    // MARK: Channel

    var closeFuture: EventLoopFuture<Void> { closed.futureResult }
    var pipeline: ChannelPipeline { channelPipeline }
    var localAddress: NIOCore.SocketAddress? { nil }
    var remoteAddress: NIOCore.SocketAddress? { nil }
    var parent: (any Channel)? { nil }
    var isWritable: Bool { false }
    var isActive: Bool { isOpen }
    var _channelCore: any ChannelCore { self }

    func setOption<Option: ChannelOption>(
      _ option: Option, value: Option.Value
    ) -> EventLoopFuture<Void> { eventLoop.makeSucceededVoidFuture() }

    func getOption<Option: ChannelOption>(_ option: Option) -> EventLoopFuture<Option.Value> {
      eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
    }

    // MARK: ChannelCore

    func localAddress0() throws -> NIOCore.SocketAddress { throw ChannelError.unknownLocalAddress }
    func remoteAddress0() throws -> NIOCore.SocketAddress {
      throw ChannelError.operationUnsupported
    }
    func register0(promise: EventLoopPromise<Void>?) { promise?.succeed() }
    func bind0(to: NIOCore.SocketAddress, promise: EventLoopPromise<Void>?) { refuse(promise) }
    func connect0(to: NIOCore.SocketAddress, promise: EventLoopPromise<Void>?) { refuse(promise) }
    func write0(_ data: NIOAny, promise: EventLoopPromise<Void>?) { refuse(promise) }
    func flush0() {}
    func read0() {}

    func close0(error: any Error, mode: CloseMode, promise: EventLoopPromise<Void>?) {
      finish()
      promise?.succeed()
    }

    func triggerUserOutboundEvent0(_ event: Any, promise: EventLoopPromise<Void>?) {
      promise?.succeed()
    }

    /// The connection has been taken by the pipeline's last handler.
    func channelRead0(_ data: NIOAny) {}

    /// An error here would be the library's own; the connection's own errors go to its own channel.
    func errorCaught0(error: any Error) {}

    private func refuse(_ promise: EventLoopPromise<Void>?) {
      promise?.fail(ChannelError.operationUnsupported)
    }
  }
#endif
