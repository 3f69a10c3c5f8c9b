internal import CoreMetrics
internal import Logging
internal import NIOCore

/// Counts a connection's bytes and tells of its first byte and its end. It is first of the caller's
/// handlers, behind whatever secures the connection, and only there when somebody wants to know.
final class TrafficHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  // What goes out may be a file's region, too.
  typealias OutboundIn = IOData

  private let report: ConnectionReport
  private let onRemoval: (TrafficHandler) -> Void
  /// Told by whoever knows the peer; until then what happens is kept.
  private var hasBegun = false
  private(set) var wasActive = false
  private var activeSince: ContinuousClock.Instant?
  private var firstByteAfter: Duration?
  private var end: (reason: ConnectionEvent.CloseReason, lifetime: Duration)?
  private var received: UInt64 = 0
  private var sent: UInt64 = 0
  private var isClosingHere = false
  private var failure: String?

  init(_ report: ConnectionReport, onRemoval: @escaping (TrafficHandler) -> Void) {
    self.report = report
    self.onRemoval = onRemoval
  }

  /// The connection has been announced: from here on its events are.
  func begin() {
    guard !hasBegun else { return }
    hasBegun = true
    if let metrics = report.metrics {
      metrics.open.increment()
      metrics.received.increment(by: received)
      metrics.sent.increment(by: sent)
    }
    if firstByteAfter != nil { tellFirstByte() }
    if end != nil { tellEnd() }
  }

  private func tellFirstByte() {
    guard let firstByteAfter else { return }
    report.tell(.firstByte(after: firstByteAfter), level: .trace)
    report.metrics?.firstByte.recordNanoseconds(firstByteAfter.nanoseconds)
  }

  private func tellEnd() {
    guard let end else { return }
    report.metrics?.open.decrement()
    report.tell(.closed(end.reason, received: received, sent: sent, lifetime: end.lifetime))
  }

  private func sinceActive() -> Duration { activeSince.map { ContinuousClock.now - $0 } ?? .zero }

  // MARK: Channel events

  func handlerRemoved(context: ChannelHandlerContext) {
    finish()
    onRemoval(self)
  }

  func channelActive(context: ChannelHandlerContext) {
    wasActive = true
    activeSince = .now
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let count = unwrapInboundIn(data).readableBytes
    received += UInt64(count)
    if hasBegun { report.metrics?.received.increment(by: count) }
    if firstByteAfter == nil, count > 0 {
      firstByteAfter = sinceActive()
      if hasBegun { tellFirstByte() }
    }
    context.fireChannelRead(data)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    let count = unwrapOutboundIn(data).readableBytes
    sent += UInt64(count)
    if hasBegun { report.metrics?.sent.increment(by: count) }
    context.write(data, promise: promise)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if failure == nil { failure = "\(error)" }
    context.fireErrorCaught(error)
  }

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    if mode == .all { isClosingHere = true }
    context.close(mode: mode, promise: promise)
  }

  func channelInactive(context: ChannelHandlerContext) {
    // First, so that whoever learns of the end behind this handler finds it told.
    finish()
    context.fireChannelInactive()
  }

  private func finish() {
    guard wasActive, end == nil else { return }
    let reason: ConnectionEvent.CloseReason =
      if let failure { .failed(failure) } else if isClosingHere { .local } else { .peer }
    end = (reason, sinceActive())
    if hasBegun { tellEnd() }
  }
}
