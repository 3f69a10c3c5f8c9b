#if GRPC
  internal import NIOCore
  internal import Synchronization
  public import TransportCore

  extension ReadinessProbe {
    /// Asks for a sign of life in gRPC that needs no service: begins HTTP/2 and expects the server's
    /// SETTINGS, which it must send first (RFC 9113, 3.4).
    ///
    /// A peer that closes the connection instead is not ready yet. One that says something else does
    /// not speak gRPC, and is not tried again.
    public static let grpcSettings = ReadinessProbe(
      name: "gRPC settings", makeState: { ProbeAnswer() },
      configure: { channel, answer in
        let promise = channel.eventLoop.makePromise(of: Void.self)
        answer.future.withLock { $0 = promise.futureResult }
        do {
          try channel.pipeline.syncOperations.addHandlers([
            PrefaceWriter(), FrameWatchHandler(LinkSignals(), ready: promise),
          ])
        } catch {
          promise.fail(error)
          throw error
        }
      },
      check: { connection, answer in
        do throws(AttemptFailure) {
          try GRPCLink.checkApplicationProtocol(of: connection.peer)
          // A connector that never configured its channel is no connector.
          guard let future = answer.future.withLock({ $0 }) else { throw .closedEarly(nil) }
          do {
            try await future.get()
          } catch {
            throw error as? AttemptFailure ?? .closedEarly(error)
          }
        } catch {
          var failure = error
          failure.phase = .probe
          throw failure
        }
      })
  }

  /// What the handler of a try will have found out.
  private final class ProbeAnswer: Sendable {
    let future = Mutex<EventLoopFuture<Void>?>(nil)
  }

  /// Says what a client says first: the preface and empty SETTINGS.
  private final class PrefaceWriter: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelActive(context: ChannelHandlerContext) {
      var bytes = ByteBuffer(string: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
      bytes.writeBytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
      context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
      context.fireChannelActive()
    }
  }
#endif
