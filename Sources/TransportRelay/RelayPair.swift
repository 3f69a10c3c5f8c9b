internal import Logging
internal import NIOCore
internal import NIOPosix
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Two channels on one event loop, bridged. All of it happens on that loop.
final class RelayPair {
  let eventLoop: any EventLoop
  let options: RelayOptions
  private let counters: RelayCounters
  private var machine: RelayStateMachine
  private var near: RelayEnd?
  private var far: RelayEnd?
  /// The far side before the bridge begins.
  private var dialled: RelayEnd?
  private(set) var isBegun = false
  /// One side is gone: what still comes from the other is dropped.
  private var isDiscarding = false
  private var cause: (any Error)?
  private let over: EventLoopPromise<RelayEnding>
  private var isNearGone = false
  private var onUnwanted: (() -> Void)?

  private var moved = 0
  /// Bytes that came for a side that is gone.
  private var discarded = 0
  private var watched = 0
  private var quietTicks = 0
  private var tick: Scheduled<Void>?
  private var lifetime: Scheduled<Void>?

  init(eventLoop: any EventLoop, options: RelayOptions, counters: RelayCounters) {
    self.eventLoop = eventLoop
    self.options = options
    self.counters = counters
    machine = RelayStateMachine()
    over = eventLoop.makePromise(of: RelayEnding.self)
  }

  /// Fulfilled when both sides are closed.
  var ending: EventLoopFuture<RelayEnding> { over.futureResult }

  func end(_ side: RelayStateMachine.Side) -> RelayEnd? { side == .near ? near : far }

  // MARK: Beginning

  func attachNear(_ end: RelayEnd) { near = end }

  /// Each try to dial has a channel, and the last one's is the connection's. It may close before the
  /// bridge begins, and has then left what it brought here.
  func attachFar(_ end: RelayEnd) { dialled = end }

  /// The near side is gone and left nothing that the far one could be given.
  var isUnwanted: Bool { isNearGone && near?.hasHeld != true }

  func whenUnwanted(_ cancel: @escaping () -> Void) {
    if isUnwanted { return cancel() }
    onUnwanted = cancel
  }

  func begin(nearCarriesHalfClose: Bool, farCarriesHalfClose: Bool) {
    far = dialled
    dialled = nil
    isBegun = true
    if let limit = options.lifetimeLimit {
      lifetime = eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(limit)) {
        self.giveUp("it lasted as long as it may")
      }
    }
    near?.passOn()
    far?.passOn()
    if far?.hasEndedInput == true { perform(machine.inputEnded(.far)) }
    if far?.isGone != false { perform(machine.gone(.far)) }
    // What happened before there were two sides is acted on now, behind the bytes of that time.
    perform(
      machine.begin(
        nearCarriesHalfClose: nearCarriesHalfClose, farCarriesHalfClose: farCarriesHalfClose))
    near?.setReading(true)
    far?.setReading(true)
    watch()
  }

  /// There will be no far side.
  func abandon() {
    dialled = nil
    isBegun = true
    perform(machine.begin(nearCarriesHalfClose: true, farCarriesHalfClose: true))
    perform(machine.gone(.far) + machine.abortAll())
  }

  // MARK: Told by the ends

  func received(_ buffer: ByteBuffer, from side: RelayStateMachine.Side, isLast: Bool) {
    let count = buffer.readableBytes
    guard let target = end(side.other), !isDiscarding else { return discarded(count, from: side) }
    moved &+= count
    counters.received(count, side)
    if target.unwritten == 0 { perform(machine.flushed(false, side.other)) }
    target.write(buffer, isLast: isLast)
    if target.unwritten > options.highWaterMark { end(side)?.setReading(false) }
  }

  /// A peer that goes on sending to nobody is told so, as by a kernel whose socket is closed: it may
  /// never end by itself. A short answer is let pass, so that what it was sent reaches it first.
  private func discarded(_ count: Int, from side: RelayStateMachine.Side) {
    discarded += count
    guard discarded > options.highWaterMark, end(side)?.unwritten == 0 else { return }
    giveUp("its peer is gone, and it goes on sending")
  }

  func wrote(_ side: RelayStateMachine.Side) {
    moved &+= 1
    guard let target = end(side) else { return }
    if target.unwritten <= options.highWaterMark / 2 { end(side.other)?.setReading(true) }
    if target.unwritten == 0 { perform(machine.flushed(true, side)) }
  }

  func inputEnded(_ end: RelayEnd) {
    guard isSide(end) else { return }
    act(machine.inputEnded(end.side))
  }

  /// A try to dial is none before the bridge begins: another may take its place.
  private func isSide(_ end: RelayEnd) -> Bool { end === near || end === far }

  func failed(_ error: any Error) {
    if cause == nil { cause = error }
  }

  func gone(_ end: RelayEnd) {
    guard isSide(end) else { return }
    if end.side == .near { isNearGone = true }
    act(machine.gone(end.side))
    if !isBegun && isUnwanted { onUnwanted?() }
  }

  // MARK: Acting

  private func act(_ actions: [RelayStateMachine.Action]) {
    perform(actions)
    if isBegun { watch() }
  }

  private func perform(_ actions: [RelayStateMachine.Action]) {
    for action in actions {
      switch action {
      case .closeOutput(let side): end(side)?.closeOutput()
      case .close(let side): end(side)?.context?.close(promise: nil)
      case .abort(let side): abort(side)
      case .discard(let side):
        isDiscarding = true
        end(side)?.setReading(true)
      }
    }
    if machine.isOver { finish() }
  }

  private func abort(_ side: RelayStateMachine.Side) {
    guard let context = end(side)?.context else { return }
    // A TCP peer then sees a reset; without it, what was cut off would look like an end in order.
    if let socket = context.channel as? any SocketOptionProvider {
      socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in }
    }
    context.close(promise: nil)
  }

  private func finish() {
    guard near != nil || far != nil else { return }
    tick?.cancel()
    lifetime?.cancel()
    near = nil
    far = nil
    onUnwanted = nil
    over.succeed(RelayEnding(isClean: machine.isClean, cause: cause))
  }

  // MARK: Limits

  /// Looks four times within a limit whether anything moved.
  private func watch() {
    tick?.cancel()
    tick = nil
    quietTicks = 0
    guard !machine.isOver, let limit = machine.isEnding ? options.endLimit : options.idleLimit
    else { return }
    scheduleTick(TimeAmount(limit / 4))
  }

  private func scheduleTick(_ period: TimeAmount) {
    watched = moved
    tick = eventLoop.assumeIsolated().scheduleTask(in: period) {
      self.quietTicks = self.moved == self.watched ? self.quietTicks + 1 : 0
      guard self.quietTicks < 4 else { return self.giveUp("nothing moved for as long as it may") }
      self.scheduleTick(period)
    }
  }

  func cancel() { giveUp("it was cancelled") }

  private func giveUp(_ why: String) {
    options.logger.debug("Ending a bridge", metadata: ["reason": "\(why)"])
    perform(machine.abortAll())
  }
}

/// How a bridge ended.
public struct RelayEnding: Sendable {
  /// Both sides ended in order: not reset, and not closed at a limit.
  public var isClean: Bool
  /// The first error of a channel, when there was one.
  public var cause: (any Error)?
}
