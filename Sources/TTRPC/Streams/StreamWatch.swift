import NIOCore
import RPCCore

/// Watches that what the streams of a connection hold stays within its bounds in time.
///
/// ttrpc has no flow control, so a stream that nobody reads can only be borne or given up. It is
/// borne while its tasks take anything at all and while the connection has room, and given up when
/// it has been over its budget for the grace without one message taken. When the connection's room
/// is used up it is not read. That slows the peer of a slow reader down, and may last for as long as
/// the reader takes something and nobody else waits for what is not read; where somebody does, the
/// stream that holds most is given up after the grace.
///
/// The grace is counted in several looks. Between two of them a task of the watch's own has had its
/// turn on the concurrency pool, and so have those that were to take something: on a machine that is
/// busy with other things they may come late without harm. When the pool itself stands still for
/// long, there is no waiting for it.
///
/// It belongs to the connection's event loop.
final class StreamWatch<Host: StreamHost> {
  private struct Entry {
    let stream: MessageStream<Host>
    var taken: UInt64
    /// How many looks in a row have found nothing taken.
    var idle = 0
  }

  private static var looks: Int { 4 }
  /// How many times a look is put off for want of a turn on the pool.
  private static var patience: Int { 40 }

  let account: ReceiveAccount
  private let interval: TimeAmount
  private var entries: [Entry] = []
  /// The connection's room has been used up, and half of it has not been free since; nil: it is not so.
  private struct Shortage {
    /// How many looks have found it so.
    var looks = 0
    /// How many of the last ones there was no room at all for.
    var looksWithoutRoom = 0
  }

  private var shortage: Shortage?
  private var timer: Scheduled<Void>?
  /// Whether the task of the look to come has had its turn; how many times that was waited for.
  private var hadTurn = true
  /// Whether that turn is waited for: a test's loop may be touched by its own thread only.
  var waitsForTurns = true
  private var putOff = 0

  /// Gives up a stream.
  var giveUp: ((MessageStream<Host>) -> Void)?
  /// The stream that holds most, if any holds something.
  var fullest: (() -> MessageStream<Host>?)?
  /// Whether more than one call or stream waits for what the peer sends.
  var isShared: (() -> Bool)?

  init(_ budget: TTRPCStreamBudget) {
    account = ReceiveAccount(budget)
    interval = TimeAmount(clamping: budget.grace / Self.looks)
  }

  func stop() {
    timer?.cancel()
    timer = nil
    giveUp = nil
    fullest = nil
    isShared = nil
    entries = []
    shortage = nil
  }

  /// Watches a stream that holds more than it may.
  func add(_ stream: MessageStream<Host>) {
    guard !stream.isWatched else { return }
    stream.isWatched = true
    entries.append(Entry(stream: stream, taken: stream.load.taken))
    arm(stream.loop)
  }

  /// Whether the connection may not be read now.
  func isHeld(_ loop: any EventLoop) -> Bool {
    guard account.isFull, account.awaitRoom() else {
      if shortage != nil { shortage?.looksWithoutRoom = 0 }
      return false
    }
    if shortage == nil {
      shortage = Shortage()
      arm(loop)
    }
    return true
  }

  private func arm(_ loop: any EventLoop) {
    guard timer == nil, !entries.isEmpty || shortage != nil else { return }
    if hadTurn, waitsForTurns { takeTurn(loop) }
    timer = loop.assumeIsolated().scheduleTask(in: interval) { self.look(loop) }
  }

  private func takeTurn(_ loop: any EventLoop) {
    hadTurn = false
    let watch = NIOLoopBound(self, eventLoop: loop)
    Task { loop.execute { watch.value.hadTurn = true } }
  }

  private func look(_ loop: any EventLoop) {
    timer = nil
    guard hadTurn || putOff == Self.patience else {
      putOff += 1
      return arm(loop)
    }
    putOff = 0
    let watched = entries
    entries = []
    for entry in watched { look(entry) }
    lookAtRoom()
    arm(loop)
  }

  private func lookAtRoom() {
    guard var shortage else { return }
    guard account.held >= account.budget.connectionBytes / 2 else { return self.shortage = nil }
    shortage.looks += 1
    shortage.looksWithoutRoom += 1
    let isStuck = shortage.looksWithoutRoom >= Self.looks
    let isInTheWay = shortage.looks >= Self.looks && isShared?() ?? false
    self.shortage = isStuck || isInTheWay ? Shortage() : shortage
    if isStuck { relieve() } else if isInTheWay, let stream = fullest?() { giveUp?(stream) }
  }

  private func look(_ entry: Entry) {
    let load = entry.stream.load
    entry.stream.isWatched = false
    guard account.isCrowded(messages: load.messages, cost: load.cost) else { return }
    let idle = load.taken == entry.taken ? entry.idle + 1 : 0
    if idle >= Self.looks { return giveUp?(entry.stream) ?? () }
    entry.stream.isWatched = true
    entries.append(Entry(stream: entry.stream, taken: load.taken, idle: idle))
  }

  /// Gives up streams until there is room.
  private func relieve() {
    while account.isFull, let stream = fullest?() {
      let before = account.held
      giveUp?(stream)
      guard account.held < before else { return }
    }
  }
}

extension RPCError {
  /// In the words of Go's implementation, whose streams have the same fate.
  static var streamFull: RPCError {
    RPCError(
      code: .resourceExhausted, message: "ttrpc: stream buffer full", reason: .overflow)
  }
}
