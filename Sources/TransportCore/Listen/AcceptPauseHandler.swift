import NIOCore

/// Stops accepting for a moment when accept(2) fails for want of descriptors or memory.
///
/// Such an error leaves the peer in the backlog, so the socket stays readable and an event loop that
/// went on reading would spin. NIO's `AcceptBackoffHandler` only delays reads that are yet to be
/// asked for, not the one that is under way (2.101): reading itself has to be turned off.
final class AcceptPauseHandler: ChannelInboundHandler {
  typealias InboundIn = NIOAny

  private static let first = TimeAmount.milliseconds(10)
  private static let most = TimeAmount.seconds(1)

  private let report: (any Error) -> Void
  private var pause = AcceptPauseHandler.first
  private var resumption: Scheduled<Void>?

  /// - Parameter report: is told of every error.
  init(report: @escaping (any Error) -> Void) { self.report = report }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    report(error)
    guard error is IOError, resumption == nil, setReading(false, context) else { return }
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    let boundContext = NIOLoopBound(context, eventLoop: context.eventLoop)
    resumption = context.eventLoop.scheduleTask(in: pause) {
      bound.value.resume(boundContext.value)
    }
    pause = min(pause * 2, Self.most)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    pause = Self.first
    context.fireChannelRead(data)
  }

  func channelInactive(context: ChannelHandlerContext) {
    resumption?.cancel()
    context.fireChannelInactive()
  }

  private func resume(_ context: ChannelHandlerContext) {
    resumption = nil
    _ = setReading(true, context)
  }

  private func setReading(_ isOn: Bool, _ context: ChannelHandlerContext) -> Bool {
    guard let options = context.channel.syncOptions else { return false }
    do {
      try options.setOption(.autoRead, value: isOn)
      return true
    } catch {
      // The channel is closed: there is nothing to pause.
      return false
    }
  }
}
