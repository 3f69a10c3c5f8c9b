#if GRPC
  internal import GRPCCore
  internal import GRPCNIOTransportHTTP2Posix
  internal import NIOCore
  internal import RPCCore
  internal import Synchronization
  internal import TransportCore

  /// One connection on which the server's SETTINGS have come.
  final class GRPCLink: Sendable {
    typealias Transport = HTTP2ClientTransport.WrappedChannel

    let connection: Connection
    let transport: Transport
    let options: GRPCClientOptions
    let signals: LinkSignals
    private let end = LinkEnd()
    private let isClosedHere = Atomic<Bool>(false)

    private init(
      _ connection: Connection, _ transport: Transport, _ options: GRPCClientOptions,
      _ signals: LinkSignals
    ) {
      self.connection = connection
      self.transport = transport
      self.options = options
      self.signals = signals
    }

    // MARK: Making one

    /// The gate's name in the pipeline, where layers may have gates of their own.
    private static let gateName = "grpc-gate"

    /// Connects until the server's SETTINGS have come.
    ///
    /// - Throws: ``TransportError``, as connectors do. A peer that speaks something else is one in
    ///   the phase handshake.
    static func connect(
      to address: TransportAddress, using connectors: TransportRegistry, connect: ConnectOptions,
      _ options: GRPCClientOptions, onClose: (@Sendable (RPCError?) -> Void)?
    ) async throws(TransportError) -> GRPCLink {
      let began = ContinuousClock.now
      var tries = connect
      var pause: Duration = .milliseconds(20)
      while true {
        let connection = try await connectors.connect(to: address, options: tries) { channel in
          try channel.pipeline.syncOperations.addHandler(
            ConnectionGate(), name: gateName)
        }
        let left = connect.timeout - (ContinuousClock.now - began)
        do throws(AttemptFailure) {
          return try await make(
            over: connection, options, limit: min(options.handshakeLimit, left), onClose: onClose)
        } catch {
          let left = connect.timeout - (ContinuousClock.now - began)
          // A transport whose far side is not up yet may take connections and drop them.
          guard case .waitUntilReady = connect.mode, error.outlook == .notReady, left > pause,
            (try? await Task.sleep(for: pause)) != nil
          else { throw .handshake(with: address, error, took: ContinuousClock.now - began) }
          pause = min(pause * 2, .seconds(1))
          tries.timeout = left - pause
        }
      }
    }

    /// Begins HTTP/2 on a connection that waits behind its gate.
    private static func make(
      over connection: Connection, _ options: GRPCClientOptions, limit: Duration,
      onClose: (@Sendable (RPCError?) -> Void)?
    ) async throws(AttemptFailure) -> GRPCLink {
      let channel = connection.channel
      do throws(AttemptFailure) {
        try checkApplicationProtocol(of: connection.peer)
      } catch {
        channel.close(promise: nil)
        throw error
      }
      let signals = LinkSignals()
      let ready = channel.eventLoop.makePromise(of: Void.self)
      let transport: Transport
      do {
        transport = try await .wrapping(config: config(options, connection, signals)) { configure in
          try await channel.eventLoop.flatSubmit {
            do {
              let pipeline = channel.pipeline.syncOperations
              let gate = try pipeline.context(name: gateName).handler
              try pipeline.addHandler(FrameWatchHandler(signals, ready: ready))
              let configured = configure(channel)
              (gate as? ConnectionGate)?.open()
              return configured
            } catch {
              return channel.eventLoop.makeFailedFuture(error)
            }
          }.get()
        }
      } catch {
        // The gate has gone with its channel.
        ready.fail(error)
        channel.close(promise: nil)
        throw .closedEarly(error)
      }
      let link = GRPCLink(connection, transport, options, signals)
      Task { await link.run() }
      do {
        try await link.waitUntilReady(ready.futureResult, limit)
      } catch {
        link.close()
        throw error as? AttemptFailure ?? .closedEarly(error)
      }
      link.end.adopt(onClose)
      return link
    }

    private func waitUntilReady(_ ready: EventLoopFuture<Void>, _ limit: Duration) async throws {
      let loop = connection.channel.eventLoop
      let promise = loop.makePromise(of: Void.self)
      ready.cascade(to: promise)
      let timer = loop.scheduleTask(in: TimeAmount(max(limit, .zero))) {
        promise.fail(AttemptFailure.mute(limit))
      }
      defer { timer.cancel() }
      try await withTaskCancellationHandler {
        try await promise.futureResult.get()
      } onCancel: {
        promise.fail(AttemptFailure.cancelled(during: .handshake))
      }
    }

    /// TLS without an agreement on `h2` is not gRPC's (RFC 9113, 3.3).
    static func checkApplicationProtocol(
      of peer: PeerIdentity
    ) throws(AttemptFailure) {
      guard let tls = peer.tls, tls.alpn != "h2" else { return }
      throw AttemptFailure(
        phase: .handshake,
        message: "the peer agreed on "
          + (tls.alpn.map { "the application protocol \"\($0)\"" } ?? "no application protocol")
          + " in TLS (ALPN), where gRPC needs \"h2\"",
        outlook: .fatal,
        hint: "the server has to offer h2; an address that begins with grpc+ does so on this side",
        peer: peer)
    }

    private static func config(
      _ options: GRPCClientOptions, _ connection: Connection, _ signals: LinkSignals
    ) -> Transport.Config {
      .defaults { config in
        config.http2.authority = options.authority ?? connection.address.authority
        config.http2.targetWindowSize = options.windowSize
        config.connection.maxIdleTime = nil
        config.connection.flushCoalescing = nil
        config.connection.keepalive = options.keepalive.map {
          .init(time: $0.time, timeout: $0.timeout, allowWithoutCalls: $0.withoutCalls)
        }
        config.channelDebuggingCallbacks.onCreateHTTP2Stream = { stream in
          stream.eventLoop.makeCompletedFuture {
            try stream.pipeline.syncOperations.addHandler(LeavingGuard(signals), position: .first)
          }
        }
      }
    }

    // MARK: Its life

    /// Until the connection has ended.
    private func run() async {
      do {
        try await transport.connect()
      } catch {
        signals.failed(error)
      }
      // A connection whose run has ended has nobody to close it. Its close future cannot fail.
      connection.channel.close(promise: nil)
      try? await connection.channel.closeFuture.get()
      end.connectionEnded(
        isClosedHere.load(ordering: .acquiring)
          ? nil : .connectionLost(connection.address, signals.error))
    }

    var isUsable: Bool { connection.channel.isActive && signals.takesCalls }
    var calls: Int { end.calls }

    func close() {
      isClosedHere.store(true, ordering: .releasing)
      connection.channel.close(promise: nil)
    }

    func waitUntilEnded() async { await end.wait() }

    /// Makes a call, which counts until `body` has returned.
    nonisolated(nonsending) func withCall<Value>(
      _ body: nonisolated(nonsending) () async throws(RPCError) -> Value
    ) async throws(RPCError) -> Value {
      end.callBegins()
      defer { end.callEnds() }
      return try await body()
    }

    func callBegins() { end.callBegins() }
    func callEnds() { end.callEnds() }
  }

  extension TransportAddress {
    /// What grpc-go sends as `:authority`.
    var authority: String {
      if let name = parameter("servername"), !name.isEmpty { return name }
      guard case .tcp(let host, let port) = place else { return "localhost" }
      return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
  }

  extension TransportError {
    fileprivate static func handshake(
      with address: TransportAddress, _ failure: AttemptFailure, took: Duration
    ) -> TransportError {
      TransportError(
        code: Task.isCancelled ? .cancelled : .connectFailed,
        message: "no gRPC at \(address): \(failure.message)", hint: failure.hint,
        attempts: [Attempt(failure: failure, duration: took)], cause: failure.cause)
    }
  }

  extension RPCError {
    static func connectionLost(_ address: TransportAddress, _ cause: (any Error)?) -> RPCError {
      RPCError(
        code: .unavailable, message: "the connection to \(address) was lost",
        reason: .connectionClosed, cause: cause)
    }
  }
#endif
